"""Disagreements that public recordings hold as they are, each counted by somebody else: are they found?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from infra.bench.detection import event_structure, text_visual
from infra.bench.detection.class_names import asked_about
from infra.bench.detection.event_recordings import dialogues, kitchen_videos
from infra.bench.detection.metadata_source import photos
from infra.bench.detection.text_recordings import receipts, sentences
from infra.bench.detection.track_identity import mot_sample
from services.alignment.engine import CHECKS
from services.alignment.sample import CheckSample
from services.contracts.base import Contract
from services.contracts.findings import Finding
from services.contracts.labels_language import TranscriptSegment
from services.errors import UnavailableError
from services.rules.rule_set import RuleSet

_LONG_S = 30.0
_TUD = Path("mot_motmetrics/TUD-Campus")
_TUD_SWITCHES = (23, 25, 32, 37, 40, 48, 56)
"""Frames (from 0) in which py-motmetrics counts an id switch of this tracker's output against the ground truth."""


class KnownScore(Contract):
    """How one set of known disagreements fared.

    ``found`` of the ``known`` ones were named; ``others`` are findings beside them.
    """

    check: str
    recordings: str
    disagreement: str
    known: int
    found: int
    others: int


@dataclass(frozen=True, slots=True)
class _Outcome:
    known: int
    found: int
    others: int


_Measure = Callable[[Path, RuleSet], _Outcome | None]


def _all(check: str, samples: Iterable[CheckSample], rules: RuleSet) -> list[Finding]:
    return [finding for sample in samples for finding in CHECKS[check](sample, rules).findings]


def _switches(data: Path, rules: RuleSet) -> _Outcome | None:
    """Score a tracker's own id switches by the frame in which the id changes."""
    path = data / _TUD / "test.txt"
    if not path.is_file():
        return None
    findings = _all("track_identity", [mot_sample(path)], rules)
    return _of_frames(findings, _TUD_SWITCHES)


def _of_frames(findings: Iterable[Finding], known: Collection[int]) -> _Outcome:
    named: set[int] = set()
    others = 0
    for finding in findings:
        frames = set(known) & set(finding.frames[:1])
        named |= frames
        others += not frames
    return _Outcome(len(known), len(named), others)


def _day_off(data: Path, rules: RuleSet) -> _Outcome | None:
    """Score photos whose camera's date is not the satellites' date."""
    samples = [sample for _, sample in photos(data)]
    off = {
        sample.manifest.sample_id
        for sample in samples
        if (facts := sample.asset_facts["photo"]).gps_at is not None
        and facts.camera_at is not None
        and facts.gps_at.date() != facts.camera_at.date()
    }
    if not off:
        return None
    found, others = set(), 0
    for sample in samples:
        for finding in CHECKS["metadata_source"](sample, rules).findings:
            right = sample.manifest.sample_id in off and finding.kind == "outside_time_window"
            found |= {sample.manifest.sample_id} if right else set()
            others += not right
    return _Outcome(len(off), len(found), others)


def _keys(data: Path, rules: RuleSet) -> _Outcome | None:
    """Score receipts with a key field whose text no region of the receipt holds, spaces and case aside."""
    own = text_visual.rules_of(data, rules)
    known, found, others = 0, 0, 0
    for _, sample in receipts(data):
        page = "".join(_plain(str(label.attributes.get("text", ""))) for label in sample.annotations)
        absent = {
            label.id
            for label in sample.annotations
            if label.type == "metadata_field" and label.value.kind == "text" and _plain(label.value.text) not in page
        }
        named = {name for finding in CHECKS["text_visual"](sample, own).findings for name in finding.annotations}
        known += len(absent)
        found += len(absent & named)
        others += len({name for name in named if name.startswith("key-")} - absent)
    return _Outcome(known, found, others) if known else None


def _plain(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def _time_faults(kind: str, is_faulty: Callable[[CheckSample], bool]) -> _Measure:
    """Score television dialogues that have an utterance with a time fault, by the kind that names it."""

    def measure(data: Path, rules: RuleSet) -> _Outcome | None:
        samples = [sample for _, sample in dialogues(data)]
        if not samples:
            return None
        own = event_structure.rules_of(data, rules)
        known = {sample.manifest.sample_id for sample in samples if is_faulty(sample)}
        named = {
            sample.manifest.sample_id
            for sample in samples
            if any(finding.kind == kind for finding in CHECKS["event_structure"](sample, own).findings)
        }
        return _Outcome(len(known), len(known & named), len(named - known))

    return measure


def _utterances(sample: CheckSample) -> list[TranscriptSegment]:
    said = [label for label in sample.annotations if isinstance(label, TranscriptSegment)]
    return sorted(said, key=lambda label: int(label.attributes["utterance_index"]))


def _ends_early(sample: CheckSample) -> bool:
    return any(one.end_s <= one.start_s for one in _utterances(sample))


def _is_long(sample: CheckSample) -> bool:
    return any(one.end_s - one.start_s > _LONG_S for one in _utterances(sample))


def _is_out_of_order(sample: CheckSample) -> bool:
    return any(after.start_s < before.start_s for before, after in pairwise(_utterances(sample)))


def _after_the_end(data: Path, rules: RuleSet) -> _Outcome | None:
    """Score kitchen sounds that end after the video they were heard in."""
    samples = [sample for _, sample in kitchen_videos(data)]
    if not samples:
        return None
    late = {
        (sample.manifest.sample_id, label.id)
        for sample in samples
        for label in sample.annotations
        if label.type == "sound_event" and label.end_s > (sample.manifest.streams[0].duration_s or float("inf"))
    }
    own = event_structure.rules_of(data, rules)
    named, others = set(), 0
    for sample in samples:
        for finding in CHECKS["event_structure"](sample, own).findings:
            about = {(sample.manifest.sample_id, name) for name in finding.annotations} & late
            named |= about if finding.kind == "outside_media" else set()
            others += not about
    return _Outcome(len(late), len(named), others)


def _false_sentences(data: Path, rules: RuleSet) -> _Outcome | None:
    """Score sentences that people found false of their picture; findings of true sentences are the others."""
    own = text_visual.rules_of(data, rules)
    false = [sample for _, sample in sentences(data, "false")]
    true = [sample for _, sample in sentences(data, "true")]
    if not false:
        return None
    found = sum(bool(CHECKS["text_visual"](sample, own).findings) for sample in false)
    return _Outcome(len(false), found, len(_all("text_visual", true, own)))


def _asked(data: Path, rules: RuleSet) -> _Outcome | None:
    """Score the questions about names of other data sets; wrong questions are the others."""
    try:
        counted = asked_about(data, rules)
    except UnavailableError:
        return None
    return _Outcome(*counted) if counted is not None else None


_KNOWN: tuple[tuple[str, str, str, _Measure], ...] = (
    ("track_identity", "TUD-Campus, a tracker's output", "id switches counted with the truth", _switches),
    ("metadata_source", "photos with GPS", "cameras that are a day off", _day_off),
    ("text_visual", "SROIE receipts", "keys that the receipt does not say", _keys),
    (
        "event_structure",
        "MELD dialogues",
        "dialogues with an utterance that ends before it begins",
        _time_faults("no_duration", _ends_early),
    ),
    (
        "event_structure",
        "MELD dialogues",
        "dialogues with an utterance of more than 30 s",
        _time_faults("duration_implausible", _is_long),
    ),
    ("event_structure", "MELD dialogues", "dialogues out of order", _time_faults("order_violation", _is_out_of_order)),
    ("event_structure", "EPIC kitchens", "sounds that end after their video", _after_the_end),
    ("text_visual", "NLVR scenes", "sentences that people found false", _false_sentences),
    ("taxonomy_conformance", "MSeg", "class names of other data sets, asked about by meaning", _asked),
)


def known_disagreements(data: Path, rules: RuleSet, checks: Collection[str] = ()) -> tuple[KnownScore, ...]:
    """Return how the known disagreements of a folder of recordings fared; those that are not there are left out.

    Args:
        data: The folder.
        rules: Thresholds.
        checks: Only these; all where it is empty.
    """
    scores = []
    for check, recordings, disagreement, measure in _KNOWN:
        outcome = measure(data, rules) if not checks or check in checks else None
        if outcome is not None:
            scores.append(
                KnownScore(
                    check=check, recordings=recordings, disagreement=disagreement, known=outcome.known,
                    found=outcome.found, others=outcome.others,
                )
            )  # fmt: skip
    return tuple(scores)
