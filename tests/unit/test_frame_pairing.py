import pytest

from services.alignment.frame_pairing import frame_period_s, nearest_frames
from services.contracts.manifest import Clock

START = "2011-09-26T13:02:25Z"


def clock(**fields: object) -> Clock:
    return Clock.model_validate(fields)


@pytest.mark.parametrize(
    ("src", "dst"),
    [
        (None, None),
        (clock(rate_hz=10), None),
        (clock(rate_hz=10), clock(rate_hz=10)),
        (clock(rate_hz=10, start=START), clock(rate_hz=20)),
        (clock(timestamps=(0.0, 0.2, 0.1)), clock(timestamps=(0.0, 0.1, 0.2))),
    ],
)
def test_clocks_that_can_not_be_compared_pair_frames_by_index(src: Clock | None, dst: Clock | None) -> None:
    assert nearest_frames(src, dst, 3).tolist() == [0, 1, 2, 3]


def test_faster_camera_gives_every_sweep_its_own_image() -> None:
    assert nearest_frames(clock(rate_hz=10), clock(rate_hz=20), 6).tolist() == [0, 2, 4, 6, -1, -1, -1]
    assert nearest_frames(clock(rate_hz=20), clock(rate_hz=10), 4).tolist() == [0, -1, 1, -1, 2]


def test_later_start_moves_the_frames() -> None:
    late = clock(rate_hz=10, start="2011-09-26T13:02:25.2Z")
    assert nearest_frames(late, clock(rate_hz=10, start=START), 4).tolist() == [2, 3, 4, -1, -1]


def test_a_few_milliseconds_between_sensors_change_nothing() -> None:
    lidar = clock(timestamps=(0.013, 0.111, 0.214))
    camera = clock(timestamps=(0.0, 0.1, 0.2))
    assert nearest_frames(lidar, camera, 2).tolist() == [0, 1, 2]


def test_period_is_the_rates_inverse_or_the_median_step() -> None:
    assert frame_period_s(clock(rate_hz=20)) == pytest.approx(0.05)
    assert frame_period_s(clock(timestamps=(0.0, 0.1, 0.2, 0.9))) == pytest.approx(0.1)
    assert frame_period_s(clock(timestamps=(0.0,))) is None
    assert frame_period_s(None) is None


def test_a_clock_that_goes_on_after_the_last_label_pairs_the_frames_in_use() -> None:
    long, late = clock(timestamps=(0.0, 0.5, 1.0, 1.5, 2.0)), clock(timestamps=(0.02, 0.52, 1.02, 1.52))
    assert nearest_frames(long, late, 1).tolist() == [0, 1]
    assert nearest_frames(late, long, 5).tolist() == [0, 1, 2, 3, -1, -1]
