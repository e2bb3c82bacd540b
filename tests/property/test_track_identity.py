from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from services.alignment.sample import CheckSample
from services.alignment.track_identity import check_track_identity
from services.contracts.annotations import Annotation
from services.contracts.labels_spatial import Cuboid
from services.contracts.labels_visual import Box
from services.contracts.manifest import SampleManifest
from services.rules.rule_set import DEFAULT_RULE_SET
from services.rules.track_identity import TrackIdentityRules

RULES = DEFAULT_RULE_SET.model_copy(update={"track_identity": TrackIdentityRules()})
MANIFEST = SampleManifest.model_validate(
    {
        "format": "concord.sample/1",
        "sample_id": "s",
        "project": "p",
        "streams": [{"id": "video", "modality": "video"}, {"id": "lidar", "modality": "lidar"}],
    }
)

Row = tuple[int | None, str | None, float, float, float, float, bool, str]
PLACES = st.one_of(st.integers(-300, 300).map(float), st.floats(-1e11, 1e11))
SIZES = st.one_of(st.integers(1, 100).map(float), st.floats(1e-3, 1e11))
NAMES = st.one_of(st.none(), st.sampled_from("abcd"))
FRAMES = st.one_of(st.none(), st.integers(0, 12), st.integers(0, 100_000_000))
ROWS = st.tuples(FRAMES, NAMES, PLACES, PLACES, SIZES, SIZES, st.booleans(), st.sampled_from(["car", "van", "dog"]))


def labels_of(rows: Sequence[Row]) -> list[Annotation]:
    labels: list[Annotation] = []
    for index, (frame, name, x, y, width, height, is_box, label) in enumerate(rows):
        common = {"id": f"l{index}", "frame": frame, "object_id": name, "label": label}
        if is_box and x + width > x and y + height > y:
            labels.append(Box.model_validate({**common, "stream": "video", "box": (x, y, x + width, y + height)}))
        elif not is_box:
            shape = {"center_m": (x, y, 0.0), "size_m": (width, height, 1.0)}
            labels.append(Cuboid.model_validate({**common, "stream": "lidar", **shape}))
    return labels


@settings(max_examples=60, deadline=None)
@given(st.lists(ROWS, max_size=40))
def test_any_labels_are_judged_alike_in_any_order(
    rows: list[Row],
) -> None:
    labels = labels_of(rows)
    outcome = check_track_identity(CheckSample(MANIFEST, tuple(labels)), RULES)
    again = check_track_identity(CheckSample(MANIFEST, tuple(reversed(labels))), RULES)
    assert outcome == again
    ids = [finding.finding_id for finding in outcome.findings]
    assert len(ids) == len(set(ids))
    known = {label.id for label in labels}
    for finding in outcome.findings:
        assert set(finding.annotations) <= known
        assert finding.annotations


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(1, 25), st.integers(0, 2**32 - 1), st.booleans())
def test_renaming_objects_changes_names_and_nothing_else(objects: int, frames: int, seed: int, is_box: bool) -> None:
    rows = [
        (frame, "abcd"[i], 100.0 * i + (frame * (seed >> (3 * i)) % 7), 50.0, 60.0, 40.0, is_box, "car")
        for i in range(objects)
        for frame in range(frames)
    ]
    labels = labels_of(rows)
    outcome = check_track_identity(CheckSample(MANIFEST, tuple(labels)), RULES)
    renamed = [label.model_copy(update={"object_id": f"{label.object_id}-2"}) for label in labels]
    again = check_track_identity(CheckSample(MANIFEST, tuple(renamed)), RULES)
    assert [(f.kind, f.frames) for f in outcome.findings] == [(f.kind, f.frames) for f in again.findings] or (
        sorted((f.kind, f.frames) for f in outcome.findings) == sorted((f.kind, f.frames) for f in again.findings)
    )
