"""Whether a decision fits its task: what is wrong with it, place by place."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from services.contracts.annotations import Annotation
from services.contracts.manifest import SampleManifest
from services.contracts.review import JUDGING_KINDS, VERDICTS_OF, DecisionInput, ReviewTask, Verdict
from services.errors import DecisionInvalidError
from services.rules.rule_set import RuleSet

NOTE_NEEDED = frozenset({Verdict.REJECT, Verdict.ESCALATE, Verdict.DISCARD})
_RESOLVING = frozenset({Verdict.APPROVE, Verdict.FIX, Verdict.REJECT, Verdict.ACCEPT_CONFLICT, Verdict.ESCALATE})
_HANDED_ON = frozenset({Verdict.REJECT, Verdict.ESCALATE})
Place = tuple[str, str]


def ensure_fits(task: ReviewTask, given: DecisionInput, rules: RuleSet, *, judged_twice: Callable[[], bool]) -> None:
    """Raise DecisionInvalidError with every place where a decision does not fit its task.

    Args:
        task: The task.
        given: What the person sent.
        rules: The rule set.
        judged_twice: Tells whether a higher tier decides after some verdict on it; asked only where it matters.
    """
    _refuse((*_verdict_places(task, given, rules), *_resolution_places(task, given, rules, judged_twice)))


def ensure_pinned(given: DecisionInput, manifest: SampleManifest, annotations: tuple[Annotation, ...]) -> None:
    """Raise DecisionInvalidError for a remark whose place is not in the sample."""
    streams = {stream.id for stream in manifest.streams}
    labels = {annotation.id for annotation in annotations}
    places = []
    for index, remark in enumerate(given.remarks or ()):
        pin = remark.pin
        if pin.stream is not None and pin.stream not in streams:
            places.append((f"/remarks/{index}/pin/stream", f"there is no stream {pin.stream!r} in this sample"))
        if pin.annotation is not None and pin.annotation not in labels:
            places.append((f"/remarks/{index}/pin/annotation", f"there is no label {pin.annotation!r} in this sample"))
    _refuse(tuple(places))


def _verdict_places(task: ReviewTask, given: DecisionInput, rules: RuleSet) -> Iterator[Place]:
    allowed = VERDICTS_OF[task.kind]
    if given.verdict not in allowed:
        yield "/verdict", f"a task of kind {task.kind} takes {', '.join(sorted(allowed))}"
    if given.verdict in NOTE_NEEDED and not (given.note or "").strip():
        yield "/note", f"is required for {given.verdict}; say why in a sentence"
    if given.verdict is Verdict.ACCEPT_CONFLICT:
        yield from _reason_places("/reason_code", given.reason_code, rules)
    if given.patch is not None and given.verdict not in (Verdict.FIX, Verdict.SUBMIT):
        yield "/patch", f"does not go with {given.verdict}; use fix to correct labels"
    if given.annotations is not None and given.verdict is not Verdict.SUBMIT:
        yield "/annotations", f"does not go with {given.verdict}; use submit"
    if given.verdict is Verdict.FIX and given.patch is None:
        yield "/patch", "is required for fix"
    if given.verdict is Verdict.SUBMIT and (given.patch is None) == (given.annotations is None):
        yield "/annotations", "submit takes either the whole label set or a patch"


def _reason_places(place: str, code: str | None, rules: RuleSet) -> Iterator[Place]:
    if code not in rules.accept_reason_codes:
        codes = ", ".join(rules.accept_reason_codes)
        yield place, f"is required for {Verdict.ACCEPT_CONFLICT}; the rule set has {codes}"


def _resolution_places(
    task: ReviewTask, given: DecisionInput, rules: RuleSet, judged_twice: Callable[[], bool]
) -> Iterator[Place]:
    if given.resolutions is None:
        return
    if task.kind not in JUDGING_KINDS or given.verdict not in _RESOLVING:
        yield "/resolutions", f"do not go with {given.verdict}; they are for findings that are judged"
        return
    seen: set[str] = set()
    for index, resolution in enumerate(given.resolutions):
        place = f"/resolutions/{index}"
        if resolution.finding_id not in task.finding_ids:
            yield f"{place}/finding_id", f"this task is not about {resolution.finding_id!r}"
        if resolution.finding_id in seen:
            yield f"{place}/finding_id", f"{resolution.finding_id!r} stands here twice"
        seen.add(resolution.finding_id)
        if resolution.verdict is Verdict.ACCEPT_CONFLICT:
            yield from _reason_places(f"{place}/reason_code", resolution.reason_code, rules)
    if given.verdict in _HANDED_ON and seen >= set(task.finding_ids):
        yield "/resolutions", f"leave nothing to {given.verdict}; use approve or accept_conflict"
    if given.verdict in _HANDED_ON and judged_twice():
        # What one person closes beside what is handed on would never be seen by a second.
        yield "/resolutions", f"{given.verdict} hands on all findings where verdicts are judged again; leave them out"


def _refuse(places: tuple[Place, ...]) -> None:
    if places:
        more = f" (and {len(places) - 1} more)" if len(places) > 1 else ""
        raise DecisionInvalidError(
            f"The decision does not fit the task: {places[0][0]}: {places[0][1]}{more}", places=places
        )
