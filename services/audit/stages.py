"""Hold the timeline and the decisions of a sample revision against the audit entries about it, both ways (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from services.audit.faults import fault
from services.audit.links import entry_name
from services.audit.personal import contradicts, text_of
from services.contracts.canonical import content_sha256, time_text
from services.contracts.lifecycle import LEGAL_TRANSITIONS, RevisionRef, Stage
from services.contracts.records import AuditEntry, StageChange
from services.contracts.review import Decision, Verdict
from services.contracts.verification import Fault
from services.lifecycle.journal import subject_of, told_of_decision

_STAGE_ACTIONS = frozenset(f"sample.{stage.value}" for stage in Stage)
_DECISION_ACTIONS = frozenset(f"task.{verdict.value}" for verdict in Verdict)


def is_stage_entry(entry: AuditEntry) -> bool:
    """Whether an audit entry tells of a stage change."""
    return entry.action in _STAGE_ACTIONS


def is_decision_entry(entry: AuditEntry) -> bool:
    """Whether an audit entry tells of a decision."""
    return entry.action in _DECISION_ACTIONS


def subjects_of(ref: RevisionRef, decisions: Iterable[Decision]) -> list[str]:
    """Return every subject under which audit entries tell of a revision and its decisions."""
    subject = subject_of(ref)
    return [subject, *(f"{subject}/tasks/{decision.task_id}" for decision in decisions)]


def ref_of_subject(project: str, subject: str) -> RevisionRef | None:
    """Return the sample revision that an audit subject names or lies under, None if it names none."""
    parts = subject.split("/")
    if len(parts) not in (4, 6) or parts[0] != "samples" or parts[2] != "revisions" or not parts[3].isdecimal():
        return None
    try:
        return RevisionRef(project=project, sample_id=parts[1], revision=int(parts[3]))
    except ValueError:
        return None


def timeline_faults(project: str, sample_id: str, timeline: Iterable[StageChange]) -> Iterator[Fault]:
    """Yield gaps in the sequence of a sample's stage changes."""
    expected = 1
    for change in timeline:
        if change.sequence != expected:
            yield fault(
                "timeline-gap",
                f"{project}/samples/{sample_id}",
                f"stage change {change.sequence} follows {expected - 1}",
            )
        expected = change.sequence + 1


def stage_faults(
    ref: RevisionRef,
    stage: Stage,
    changes: tuple[StageChange, ...],
    entries: Iterable[AuditEntry],
    *,
    erased: bool = False,
) -> Iterator[Fault]:
    """Yield what contradicts between a revision's stage, its stage changes and the audit entries about it.

    Args:
        ref: The revision.
        stage: Its stage as it is stored.
        changes: Its stage changes by sequence.
        entries: Audit entries whose subject is the revision.
        erased: Its content was erased, and with it the reasons of its changes.
    """
    subject = subject_of(ref)
    yield from _order_faults(subject, stage, changes)
    told = [entry for entry in entries if is_stage_entry(entry)]
    by_sequence = {change.sequence: change for change in changes}
    seen: Counter[int] = Counter()
    for entry in told:
        sequence = entry.body.get("sequence")
        change = by_sequence.get(sequence) if isinstance(sequence, int) else None
        if change is None:
            yield fault("entry-without-change", subject, f"{entry_name(entry.sequence)} tells of {entry.action}")
            continue
        seen[change.sequence] += 1
        if seen[change.sequence] > 1:
            yield fault("change-told-twice", subject, f"{entry_name(entry.sequence)} repeats change {sequence}")
        yield from _contradictions(subject, change, entry, erased=erased)
    for change in changes:
        if not seen[change.sequence]:
            yield fault("change-without-entry", subject, f"no audit entry tells of change {change.sequence}")


def decision_faults(
    ref: RevisionRef,
    decisions: Sequence[Decision],
    bodies: Mapping[UUID, Mapping[str, Any]],
    entries: Iterable[AuditEntry],
    *,
    erased: bool = False,
) -> Iterator[Fault]:
    """Yield what contradicts between a revision's decisions, what people sent and the audit entries about them.

    Args:
        ref: The revision.
        decisions: Its decisions.
        bodies: The whole input of each decision.
        entries: Audit entries about the revision.
        erased: Its content was erased, and with it what people sent; the hashes stay.
    """
    subject = subject_of(ref)
    for stored in () if erased else decisions:
        yield from _body_faults(subject, stored, bodies.get(stored.decision_id))
    by_id = {str(decision.decision_id): decision for decision in decisions}
    seen: Counter[str] = Counter()
    for entry in entries:
        if not is_decision_entry(entry):
            continue
        decision_id = str(entry.body.get("decision_id"))
        decision = by_id.get(decision_id)
        if decision is None:
            yield fault("entry-without-decision", subject, f"{entry_name(entry.sequence)} tells of {entry.action}")
            continue
        seen[decision_id] += 1
        if seen[decision_id] > 1:
            yield fault("decision-told-twice", subject, f"{entry_name(entry.sequence)} repeats {decision_id}")
        stated = {"action": f"task.{decision.verdict.value}", "actor": decision.actor_id, **told_of_decision(decision)}
        told = {"action": entry.action, "actor": entry.actor, **entry.body}
        # These are left out where there are none, so that they must be looked for on both sides.
        names = dict.fromkeys((*stated, "caused_by", "escalated_by"))
        wrong = [name for name in names if told.get(name) != stated.get(name)]
        if wrong:
            yield fault(
                "entry-contradicts-decision",
                subject,
                f"{entry_name(entry.sequence)} tells of decision {decision_id} another {', '.join(wrong)}",
            )
    for decision_id in by_id:
        if not seen[decision_id]:
            yield fault("decision-without-entry", subject, f"no audit entry tells of decision {decision_id}")


def _body_faults(subject: str, decision: Decision, body: Mapping[str, Any] | None) -> Iterator[Fault]:
    name = f"decision {decision.decision_id}"
    if body is None:
        yield fault("decision-body-missing", subject, f"what {name} said is not there")
        return
    digest = content_sha256({key: value for key, value in body.items() if key != "fence"})
    if digest != decision.content_sha256:
        yield fault("decision-hash", subject, f"{name} has the hash {digest}, not {decision.content_sha256}")
    # These are stored a second time beside the body, and that is what people are shown.
    shown = (("verdict", decision.verdict.value), ("reason_code", decision.reason_code), ("note", decision.note))
    for key, value in shown:
        if body.get(key) != value:
            yield fault("decision-contradicts-body", subject, f"{name} shows another {key} than was sent")


def _order_faults(subject: str, stage: Stage, changes: tuple[StageChange, ...]) -> Iterator[Fault]:
    before: Stage | None = None
    for change in changes:
        if change.previous_stage is not before:
            yield fault(
                "timeline-contradiction",
                subject,
                f"change {change.sequence} starts at {change.previous_stage}, the one before ended at {before}",
            )
        elif before is None and change.stage is not Stage.RECEIVED:
            yield fault("illegal-transition", subject, f"change {change.sequence} starts with {change.stage}")
        elif before is not None and change.stage not in LEGAL_TRANSITIONS[before]:
            yield fault("illegal-transition", subject, f"change {change.sequence}: {before} to {change.stage}")
        before = change.stage
    if before is not stage:
        yield fault("stage-contradiction", subject, f"it is at {stage}, its timeline ends at {before}")


def _contradictions(subject: str, change: StageChange, entry: AuditEntry, *, erased: bool) -> Iterator[Fault]:
    pairs = (
        ("stage", f"sample.{change.stage.value}", entry.action),
        ("actor", change.actor, entry.actor),
        ("previous stage", change.previous_stage, entry.body.get("before")),
        ("time", time_text(change.at), entry.body.get("at")),
    )
    if not erased and contradicts(entry, "reason", change.reason):
        told = text_of(entry, "reason")
        yield fault(
            "entry-contradicts-change",
            subject,
            f"reason of change {change.sequence} is {change.reason!r}, {entry_name(entry.sequence)} says {told!r}",
        )
    for what, stored, told in pairs:
        if stored != told:
            yield fault(
                "entry-contradicts-change",
                subject,
                f"{what} of change {change.sequence} is {stored!r}, {entry_name(entry.sequence)} says {told!r}",
            )
