"""Known faults of duration, place, order and coincidence, put into recorded events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from infra.bench.detection.event_recordings import dialogues, driver_recordings, kitchen_videos
from infra.bench.detection.fault import Inject, Injected, LabelFault
from services.alignment.event_structure import check_event_structure
from services.alignment.sample import CheckSample
from services.contracts.annotations import Annotation
from services.contracts.label_base import TimedLabel
from services.contracts.labels_language import Emotion, SoundEvent, TranscriptSegment
from services.contracts.labels_visual import Action, Event
from services.rules.event_structure import CrossModalRules, EventRule, EventStructureRules, SameEvent
from services.rules.rule_set import RuleSet

CHECK = "event_structure"
MAX_DIALOGUES = 200

_KITCHEN = (
    SameEvent(labels=("open *", "close *"), counterparts=("open / close",)),
    SameEvent(labels=("wash *", "rinse *", "turn-on *", "turn-off *"), counterparts=("water",)),
    SameEvent(labels=("cut *", "chop *"), counterparts=("cut / chop",)),
    SameEvent(labels=("stir*", "mix*"), counterparts=("stir / mix / whisk",)),
)
_ORDER = (
    EventRule(label="turn-off tap", requires_before=("turn-on tap",)),
    EventRule(label="gaze_on_road*", exclusive_group="gaze"),
)


def rules_of(data: Path, rules: RuleSet) -> RuleSet:
    """Return the rules with the order of these recordings: taps, gaze, and which action makes which sound."""
    del data
    section = rules.event_structure or EventStructureRules()
    cross_modal = section.cross_modal.model_copy(update={"same_events": _KITCHEN})
    section = section.model_copy(update={"events": _ORDER, "cross_modal": cross_modal})
    return rules.model_copy(update={"event_structure": section})


def clean_samples(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield kitchen videos, also with each action as two marks, a driver's recording, and dialogues in order."""
    for name, sample in kitchen_videos(data):
        yield name, sample
        yield name, _as_marks(sample)
    yield from driver_recordings(data)
    strict = RuleSet(id="clean", version=1, event_structure=EventStructureRules())
    clean = 0
    for name, sample in dialogues(data):
        if clean < MAX_DIALOGUES and not check_event_structure(sample, strict).findings:
            clean += 1
            yield name, sample


def _as_marks(sample: CheckSample) -> CheckSample:
    marks: list[Annotation] = []
    for label in sample.annotations:
        if isinstance(label, Action):
            for phase, time_s in (("start", label.start_s), ("end", label.end_s)):
                marks.append(
                    Event.model_validate(
                        {"id": f"{label.id}-{phase}", "stream": label.stream, "label": label.label, "phase": phase,
                         "object_id": label.id, "start_s": time_s, "end_s": time_s}
                    )
                )  # fmt: skip
    return replace(sample, annotations=tuple(marks))


def _with(sample: CheckSample, *labels: Annotation) -> CheckSample:
    changed = {label.id: label for label in labels}
    return replace(sample, annotations=tuple(changed.get(label.id, label) for label in sample.annotations))


def _lasting(sample: CheckSample) -> list[TimedLabel]:
    return [
        label
        for label in sample.annotations
        if isinstance(label, TimedLabel) and not isinstance(label, TranscriptSegment) and label.end_s > label.start_s
    ]


def _one(change: Callable[[TimedLabel, np.random.Generator, CheckSample], TimedLabel | None]) -> Inject:
    def inject(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
        labels = _lasting(sample)
        if not labels:
            return None
        label = labels[int(rng.integers(len(labels)))]
        changed = change(label, rng, sample)
        return None if changed is None else (_with(sample, changed), frozenset({label.id}))  # type: ignore[arg-type]

    return inject


def _moved(label: TimedLabel, start_s: float, end_s: float) -> TimedLabel:
    return label.model_copy(update={"start_s": round(start_s, 3), "end_s": round(end_s, 3)})


def _beyond(label: TimedLabel, rng: np.random.Generator, sample: CheckSample) -> TimedLabel | None:
    lengths = [stream.duration_s for stream in sample.manifest.streams if stream.duration_s is not None]
    if not lengths:
        return None
    end_s = max(lengths) + float(rng.uniform(0.6, 5.0))
    return _moved(label, end_s - (label.end_s - label.start_s), end_s)


def _endless(label: TimedLabel, rng: np.random.Generator, sample: CheckSample) -> TimedLabel | None:
    del sample
    if not isinstance(label, Emotion):
        return None
    return _moved(label, label.start_s, label.start_s + float(rng.uniform(35, 300)))


def _lose_predecessor(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    del rng
    ends = sorted(
        (label.start_s, label.id)
        for label in sample.annotations
        if isinstance(label, Action) and label.label == "turn-off tap"
    )
    if not ends:
        return None
    start_s, name = ends[0]
    kept = tuple(
        label
        for label in sample.annotations
        if not (isinstance(label, Action) and label.label == "turn-on tap" and label.start_s <= start_s + 1)
    )
    return replace(sample, annotations=kept), frozenset({name})


def _exchange_neighbours(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    felt = [label for label in sample.annotations if isinstance(label, Emotion)]
    steps = [i for i in range(len(felt) - 1) if felt[i + 1].start_s - felt[i].start_s > 0.5]
    if len(felt) < 3 or not steps:
        return None
    one, other = felt[(place := int(rng.choice(steps)))], felt[place + 1]
    changed = [
        label.model_copy(update={"start_s": times.start_s, "end_s": times.end_s})
        for label, times in ((one, other), (other, one))
    ]
    return _with(sample, *changed), frozenset({one.id, other.id})


def _overlap(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    gaze = [
        label for label in sample.annotations if isinstance(label, Action) and label.label.startswith("gaze_on_road")
    ]
    gaze.sort(key=lambda label: label.start_s)
    if len(gaze) < 2:
        return None
    place = int(rng.integers(len(gaze) - 1))
    longer = gaze[place].model_copy(update={"end_s": gaze[place + 1].start_s + float(rng.uniform(0.25, 0.33))})
    return _with(sample, longer), frozenset({longer.id})


def _lose_mark(phase: str) -> Inject:
    def inject(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
        marks = [label for label in sample.annotations if isinstance(label, Event) and label.phase == phase]
        if not marks:
            return None
        lost = marks[int(rng.integers(len(marks)))]
        other = {"start": "end", "end": "start"}[phase]
        kept = tuple(label for label in sample.annotations if label.id != lost.id)
        return replace(sample, annotations=kept), frozenset({f"{lost.object_id}-{other}"})

    return inject


def _late_sounds(offset_s: float) -> Inject:
    def inject(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
        late_s = offset_s + float(rng.uniform(-0.2, 0.2))
        sounds = [label for label in sample.annotations if isinstance(label, SoundEvent)]
        named = {name for rule in _KITCHEN for name in rule.counterparts}
        if sum(label.label in named for label in sounds) < CrossModalRules().min_pairs:
            return None
        moved = [
            label.model_copy(update={"start_s": label.start_s + late_s, "end_s": label.end_s + late_s})
            for label in sounds
        ]
        return _with(sample, *moved), frozenset(label.id for label in sounds)

    return inject


FAULTS = (
    LabelFault(CHECK, "negative_duration", _one(lambda label, *_: _moved(label, label.end_s, label.start_s))),
    LabelFault(CHECK, "no_duration", _one(lambda label, *_: _moved(label, label.start_s, label.start_s))),
    LabelFault(CHECK, "duration_implausible", _one(_endless)),
    LabelFault(CHECK, "outside_media", _one(_beyond)),
    LabelFault(CHECK, "missing_predecessor", _lose_predecessor, also=frozenset({"order_violation"})),
    LabelFault(CHECK, "order_violation", _exchange_neighbours, name="neighbours exchanged"),
    LabelFault(CHECK, "exclusive_overlap", _overlap),
    LabelFault(CHECK, "unpaired_start", _lose_mark("end")),
    LabelFault(CHECK, "unpaired_end", _lose_mark("start")),
    *(
        LabelFault(CHECK, "cross_modal_offset", _late_sounds(seconds), name=f"sounds {seconds:+g} s")
        for seconds in (-3.0, 2.0, 4.0)
    ),
)
