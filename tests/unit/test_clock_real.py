from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from PIL import Image

from infra.bench.detection.clock import camera_clocks, kitchen_moments, sample_of
from services.alignment.clock import check_clock
from services.contracts.manifest import Clock, Stream
from services.rules.clock import ClockRules
from services.rules.rule_set import RuleSet
from tests.unit import event_samples
from tests.unit.event_samples import DATA, needs

RULES = RuleSet(id="r", version=1, clock=ClockRules())


def photo_times() -> tuple[list[datetime], list[datetime]]:
    """When the camera and when the satellites say that each photo was taken; the camera's zone is unknown."""
    camera, gps = [], []
    for path in sorted((DATA / "exif_gps/jpg/gps").glob("*.jpg")):
        with Image.open(path) as image:
            exif = image.getexif()
            taken: Any = exif.get_ifd(0x8769)[0x9003]
            place = exif.get_ifd(0x8825)
        hours, minutes, seconds = (float(part) for part in place[7])
        day = datetime.strptime(place[29], "%Y:%m:%d").replace(tzinfo=UTC)
        camera.append(datetime.strptime(taken, "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC))
        gps.append(day.replace(hour=int(hours), minute=int(minutes), second=int(seconds)))
    return camera, gps


@needs("exif_gps")
def test_the_camera_that_is_a_day_off_is_one_offset() -> None:
    camera, gps = photo_times()
    streams = [
        Stream(id=name, modality="image", clock=Clock(timestamps=tuple(times)))
        for name, times in (("gps", gps), ("photo", camera))
    ]
    (finding,) = check_clock(event_samples.sample_of(streams=streams), RULES).findings
    assert (finding.kind, finding.severity) == ("offset", "major")
    assert finding.measured is not None
    # A day less the two hours of summer time, and less the half minute that a fix is old.
    assert finding.measured.value == pytest.approx(-22 * 3_600, abs=180)


@needs("exif_gps")
def test_each_photo_of_that_camera_is_far_from_the_satellites_time() -> None:
    for taken, at in zip(*photo_times(), strict=True):
        sample = event_samples.sample_of(streams=[Stream(id="photo", modality="image", clock=Clock(start=taken))])
        manifest = sample.manifest.model_copy(update={"captured_at": at})
        (finding,) = check_clock(type(sample)(manifest, ()), RULES).findings
        assert finding.kind == "contradictory_clock"


@needs("epic")
def test_frames_counted_at_60_hz_in_videos_of_5994_hz_are_a_drift_of_1001_ppm() -> None:
    judged = 0
    for video, seconds, frames in kitchen_moments(DATA, "actions", "start_frame"):
        if len(seconds) < 100:
            continue
        judged += 1
        sample = sample_of(video, {"frames": frames / 59.9400599400599, "seconds": seconds})
        (finding,) = check_clock(sample, RULES).findings
        assert finding.cause is not None
        assert finding.kind == "drift"
        assert float(finding.cause.estimate["drift_ppm"]) == pytest.approx(-1_001, abs=20)
        assert check_clock(sample_of(video, {"frames": frames / 60, "seconds": seconds}), RULES).findings == ()
    assert judged == 4


@needs("openlabel_vcd")
def test_a_camera_and_its_host_agree_but_for_the_hosts_jitter() -> None:
    clocks = camera_clocks(DATA)
    assert clocks is not None
    host, sensor = clocks
    outcome = check_clock(sample_of("c", {"host": host - host[0], "sensor": sensor - sensor[0]}), RULES)
    assert [(item.kind, item.severity, item.streams) for item in outcome.findings] == [("jitter", "minor", ("host",))]
    outcome = check_clock(sample_of("c", {"host": host, "sensor": sensor}), RULES)
    offset = next(item for item in outcome.findings if item.kind == "offset")
    assert offset.measured is not None
    assert offset.measured.value == pytest.approx(float(np.median(sensor - host)), abs=0.01)
