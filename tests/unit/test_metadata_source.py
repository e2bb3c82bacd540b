"""Statements about where a sample comes from, against each other."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.alignment.metadata_source import check_metadata_source
from services.alignment.metadata_swaps import find_swaps
from services.alignment.sample import AssetFacts, CheckOutcome, CheckSample
from services.contracts.annotations import Annotation
from services.contracts.labels_spatial import (
    DeviceValue,
    FieldValue,
    LocationValue,
    MetadataField,
    SensorValue,
    TextValue,
    TimestampValue,
)
from services.contracts.manifest import Clock, Context, SampleManifest, Stream
from services.rules.metadata_source import Area, MetadataSourceRules
from services.rules.rule_set import RuleSet

NOON = datetime(2024, 5, 6, 12, 30, tzinfo=UTC)
PARIS = {"latitude_deg": 48.8566, "longitude_deg": 2.3522}


def field(label: str, value: FieldValue, name: str = "") -> MetadataField:
    return MetadataField(id=name or f"field-{label.replace(' ', '-')}", stream="record", label=label, value=value)


def sample(
    *labels: Annotation,
    name: str = "s",
    captured_at: datetime | None = NOON,
    facts: AssetFacts | None = None,
    context: dict[str, Any] | None = None,
    record: dict[str, Any] | None = None,
    **photo: Any,
) -> CheckSample:
    streams = (
        Stream(id="photo", modality="image", **{"sensor": "front", **photo}),
        Stream(id="record", modality="record", inline=record),
    )
    manifest = SampleManifest(
        format="concord.sample/1", sample_id=name, project="p", captured_at=captured_at, streams=streams,
        context=Context(**(context or {})),
    )  # fmt: skip
    return CheckSample(manifest, labels, asset_facts={} if facts is None else {"photo": facts})


def rules(**fields: Any) -> RuleSet:
    return RuleSet(id="r", version=1, metadata_source=MetadataSourceRules(**fields))


def check(*labels: Annotation, section: dict[str, Any] | None = None, **parts: Any) -> CheckOutcome:
    return check_metadata_source(sample(*labels, **parts), rules(**(section or {})))


def kinds(outcome: CheckOutcome) -> dict[str, str]:
    return {finding.kind: finding.severity for finding in outcome.findings}


def test_a_field_that_names_another_sensor_is_found_with_its_owner() -> None:
    assert kinds(check(field("sensor", SensorValue(sensor="front")))) == {}
    (finding,) = check(field("sensor", SensorValue(sensor="rear"))).findings
    assert finding.kind == "wrong_sensor"
    assert finding.annotations == ("field-sensor",)


def test_one_sensor_does_not_record_pictures_and_ranges() -> None:
    one = sample()
    lidar = Stream(id="lidar", modality="lidar", sensor="front")
    both = one.manifest.model_copy(update={"streams": (*one.manifest.streams, lidar)})
    assert kinds(check_metadata_source(replace(one, manifest=both), rules())) == {"wrong_sensor": "major"}


@pytest.mark.parametrize(("value", "faulty"), [("P-0017", False), ("p 17", True), ("p0017", False), ("P-0018", True)])
def test_the_subject_is_the_context_s(value: str, faulty: bool) -> None:
    context = {"attributes": {"patient_id": "P0017"}}
    outcome = check(field("Patient ID", TextValue(text=value)), context=context)
    assert kinds(outcome) == ({"wrong_subject": "critical"} if faulty else {})


def test_leading_zeros_and_products_are_compared() -> None:
    assert kinds(check(record={"sku": "00123"}, context={"product": "123"})) == {}
    assert kinds(check(record={"sku": 123}, context={"product": "124"})) == {"wrong_subject": "critical"}
    strict = {"ignore_leading_zeros": False}
    assert kinds(check(record={"sku": "00123"}, context={"product": "123"}, section=strict)) == {
        "wrong_subject": "critical"
    }


def test_the_odd_one_out_is_named() -> None:
    context = {"attributes": {"asset_id": "A9"}}
    labels = (field("asset_id", TextValue(text="A1"), "a"), field("asset_id", TextValue(text="A1"), "b"))
    (finding,) = check(*labels, record={"asset_id": "A1"}, context=context).findings
    assert finding.message.startswith("The context says asset_id A9")


def test_statements_that_are_wrong_in_one_way_are_one_finding() -> None:
    at = TimestampValue(at=NOON + timedelta(days=30))
    labels = [field("recorded_at", at, f"l{number}") for number in range(3)]
    right = [field("taken_at", TimestampValue(at=NOON), f"r{number}") for number in range(3)]
    (finding,) = check(*labels, *right).findings
    assert finding.annotations == ("l0", "l1", "l2")
    assert "and 2 more" in finding.message


def test_a_time_that_no_other_statement_shares_is_outside_the_window() -> None:
    assert kinds(check(field("recorded_at", TimestampValue(at=NOON + timedelta(minutes=50))))) == {}
    (finding,) = check(field("recorded_at", TimestampValue(at=NOON + timedelta(days=3)))).findings
    assert (finding.kind, finding.annotations) == ("outside_time_window", ("field-recorded_at",))
    assert finding.measured is not None
    assert finding.measured.value == pytest.approx(3 * 86_400)
    assert kinds(check(clock=Clock(start=NOON + timedelta(hours=3)))) == {"outside_time_window": "major"}
    assert kinds(check(clock=Clock(start=NOON + timedelta(hours=3)), duration_s=3 * 3_600)) == {}
    assert kinds(check(field("printed_at", TimestampValue(at=NOON + timedelta(days=3))))) == {}


def test_a_bare_day_contradicts_only_another_day() -> None:
    day = datetime(2024, 5, 6, tzinfo=UTC)
    assert kinds(check(field("study_time", TimestampValue(at=day)))) == {}
    assert kinds(check(field("study_time", TimestampValue(at=day + timedelta(days=3))))) == {
        "outside_time_window": "major"
    }


@pytest.mark.parametrize("hours", [-12, -8, 0, 5.5, 14])
def test_a_time_zone_is_no_fault(hours: float) -> None:
    local = (NOON + timedelta(hours=hours)).replace(tzinfo=None)
    assert kinds(check(facts=AssetFacts(camera_at=local, gps_at=NOON))) == {}


def test_a_camera_that_is_a_day_off_is_explained_by_days_and_zone() -> None:
    local = (NOON + timedelta(hours=2, days=-1, seconds=90)).replace(tzinfo=None)
    (finding,) = check(facts=AssetFacts(make="NIKON", camera_at=local, gps_at=NOON)).findings
    assert finding.kind == "outside_time_window"
    assert finding.cause is not None
    assert finding.cause.kind == "camera_clock"
    assert finding.cause.estimate["days"] == -1
    assert finding.cause.estimate["utc_offset_h"] == 2.0
    assert finding.cause.estimate["residual_s"] == 90.0


def test_the_project_s_own_window_is_kept() -> None:
    early = {"not_before": NOON + timedelta(days=1)}
    late = {"not_after": NOON - timedelta(days=1)}
    inside = {"not_before": NOON - timedelta(days=1), "not_after": NOON + timedelta(days=1)}
    assert kinds(check(section=early)) == kinds(check(section=late)) == {"outside_time_window": "major"}
    assert kinds(check(section=inside)) == {}


def test_places_are_compared_over_the_sphere() -> None:
    facts = AssetFacts(latitude_deg=48.8570, longitude_deg=2.3530)
    assert kinds(check(field("place", LocationValue(**PARIS)), facts=facts)) == {}
    (finding,) = check(field("place", LocationValue(latitude_deg=51.5074, longitude_deg=-0.1278)), facts=facts).findings
    assert finding.kind == "outside_area"
    assert finding.measured is not None
    assert finding.measured.value == pytest.approx(343_500, rel=0.01)
    rough = LocationValue(latitude_deg=51.5074, longitude_deg=-0.1278, accuracy_m=400_000)
    assert kinds(check(field("place", rough), facts=facts)) == {}
    west = field("place", LocationValue(latitude_deg=0.0, longitude_deg=-179.999))
    assert kinds(check(west, facts=AssetFacts(latitude_deg=0.0, longitude_deg=179.999))) == {}


def test_a_place_outside_the_context_s_region_is_found() -> None:
    areas = (
        Area(region="FR", south_deg=42, north_deg=51, west_deg=-5, east_deg=8),
        Area(region="FJ", south_deg=-20, north_deg=-15, west_deg=177, east_deg=-178),
    )
    here = field("place", LocationValue(**PARIS))
    assert kinds(check(here, context={"region": "FR"}, section={"areas": areas})) == {}
    assert kinds(check(here, context={"region": "FJ"}, section={"areas": areas})) == {"outside_area": "major"}
    assert kinds(check(here, context={"region": "DE"}, section={"areas": areas})) == {}
    suva = field("place", LocationValue(latitude_deg=-18.1, longitude_deg=178.4))
    assert kinds(check(suva, context={"region": "FJ"}, section={"areas": areas})) == {}


@pytest.mark.parametrize(
    ("said", "faulty"),
    [
        ({"make": "NIKON CORPORATION", "model": "NIKON COOLPIX P6000"}, False),
        ({"make": "Nikon", "model": "coolpix-p6000", "serial": "12"}, False),
        ({"make": "Canon", "model": "COOLPIX P6000"}, True),
        ({"model": "COOLPIX P6001"}, True),
        ({}, False),
    ],
)
def test_a_device_is_the_one_that_the_file_names(said: dict[str, str], faulty: bool) -> None:
    facts = AssetFacts(make="NIKON", model="COOLPIX P6000")
    expected = {"device_mismatch": "major"} if faulty else {}
    assert kinds(check(field("device", DeviceValue(**said)), facts=facts)) == expected
    assert kinds(check(facts=facts, section={"devices": {"front": said}})) == expected


def test_nothing_to_compare_is_not_applicable() -> None:
    outcome = check(captured_at=None)
    assert outcome.findings == ()
    assert "no two statements" in outcome.not_applicable[0].reason


def _patients(count: int) -> list[CheckSample]:
    return [
        sample(
            field("patient_id", TextValue(text=f"P{number}")), name=f"visit-{number}",
            record={"patient_id": f"P{number}"},
            context={"attributes": {"patient_id": f"P{number}"}},
        )
        for number in range(count)
    ]  # fmt: skip


def test_two_exchanged_samples_are_named_together_once() -> None:
    visits = _patients(6)
    assert find_swaps(visits, rules()) == ()
    one, two = visits[1], visits[4]
    visits[1] = replace(one, annotations=two.annotations, manifest=_with_streams(one, two))
    visits[4] = replace(two, annotations=one.annotations, manifest=_with_streams(two, one))
    (swap,) = find_swaps(visits, rules())
    assert swap.samples == ("visit-1", "visit-4")
    assert swap.finding.kind == "swapped_with"
    assert "visit-1" in swap.finding.message
    assert "visit-4" in swap.finding.message
    own = {x.finding_id for visit in visits for x in check_metadata_source(visit, rules()).findings}
    assert own == set(swap.finding.explains)
    assert find_swaps(visits[::-1], rules()) == (swap,)


def _with_streams(one: CheckSample, other: CheckSample) -> SampleManifest:
    return one.manifest.model_copy(update={"streams": other.manifest.streams})


def test_a_subject_that_nobody_else_lacks_is_no_swap() -> None:
    visits = _patients(3)
    visits[0] = replace(visits[0], annotations=(field("patient_id", TextValue(text="P1")),))
    assert find_swaps(visits, rules()) == ()


def test_exchanged_files_show_by_content_address_time_and_place() -> None:
    def photo(number: int, shown: int, **fields: Any) -> CheckSample:
        at = NOON + timedelta(days=shown)
        facts = AssetFacts(gps_at=at, latitude_deg=10.0 + shown, longitude_deg=5.0, sha256=f"{shown:064d}")
        place = LocationValue(latitude_deg=10.0 + number, longitude_deg=5.0)
        return sample(
            field("place", place), name=f"trip-{number}", captured_at=NOON + timedelta(days=number), facts=facts,
            uri=f"trip-{shown}/photo.jpg", sha256=f"{number:064d}", **fields,
        )  # fmt: skip

    right = [photo(number, number) for number in range(5)]
    assert find_swaps(right, rules()) == ()
    wrong = [photo(number, {0: 3, 3: 0}.get(number, number)) for number in range(5)]
    (swap,) = find_swaps(wrong, rules())
    assert swap.samples == ("trip-0", "trip-3")
    assert swap.signals == ("address of photo", "content of photo", "time and place of the file")


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["captured_at", "sku", "place"]), st.integers(-(10**7), 10**7)), max_size=6),
    st.randoms(use_true_random=False),
)
def test_the_order_of_labels_changes_nothing(values: list[tuple[str, int]], random: Any) -> None:
    labels: list[Annotation] = []
    for at, (name, number) in enumerate(values):
        value: FieldValue = TextValue(text=str(number))
        if name == "captured_at":
            value = TimestampValue(at=NOON + timedelta(seconds=number))
        elif name == "place":
            value = LocationValue(latitude_deg=number / 2e5, longitude_deg=number / 1e5)
        labels.append(field(name, value, f"l{at}"))
    shuffled = list(labels)
    random.shuffle(shuffled)
    assert check(*labels, context={"product": "5"}) == check(*shuffled, context={"product": "5"})


def test_times_at_the_ends_of_the_calendar_are_read() -> None:
    ends = [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
    facts = AssetFacts(camera_at=datetime.max)  # noqa: DTZ901 - a camera's clock has no zone
    for at in ends:
        assert kinds(check(field("taken_at", TimestampValue(at=at)), facts=facts)) != {}
