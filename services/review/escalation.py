"""Whether a higher tier is asked, and why: what is known of a finding, held against the escalation rules (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.contracts.annotations import Annotation
from services.contracts.escalation import (
    EscalatingVerdict,
    EscalationFacts,
    EscalationTarget,
    TaskCause,
)
from services.contracts.findings import SEVERITY_ORDER, Finding
from services.contracts.manifest import Risk, Stream
from services.contracts.review import Decision, ReviewTask, TaskKind, Verdict
from services.review.authorship import concerned_ids
from services.rules.escalation import JUDGING, EscalationRule, built_in_escalations
from services.rules.rule_set import RuleSet

UNASKED = "unasked"
_ESCALATING: dict[Verdict, EscalatingVerdict] = {
    Verdict.APPROVE: "approve",
    Verdict.FIX: "fix",
    Verdict.ACCEPT_CONFLICT: "accept_conflict",
    Verdict.ESCALATE: "escalate",
}
_JUDGEMENTS = frozenset({Verdict.APPROVE, Verdict.FIX, Verdict.ACCEPT_CONFLICT, Verdict.REJECT})


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What escalation rules ask about a finding that does not stand in the finding.

    Attributes:
        risk: Of the sample.
        domain: Of the sample.
        streams: Of the sample.
        annotations: The labels as they are.
        decisions: All decisions on the revision until now.
    """

    risk: Risk
    domain: str | None
    streams: Sequence[Stream]
    annotations: Sequence[Annotation]
    decisions: Sequence[Decision]

    def facts_about(
        self, finding: Finding | None, *, verdict: EscalatingVerdict | None = None, rounds_over: bool = False
    ) -> EscalationFacts:
        """Return what rules are held against.

        Args:
            finding: The finding; None for the sample as a whole.
            verdict: What a person says about it now; None before anybody does.
            rounds_over: Whether reviewers have had their rounds on it.
        """
        named = None if finding is None else frozenset(concerned_ids(finding, self.annotations))
        labels = [label for label in self.annotations if named is None or label.id in named]
        streams = {label.stream for label in labels} if finding is None or not finding.streams else {*finding.streams}
        modalities = {stream.modality for stream in self.streams if stream.id in streams or not streams}
        confidences = [label.confidence for label in labels if label.confidence is not None]
        return EscalationFacts(
            finding_id=None if finding is None else finding.finding_id,
            check=None if finding is None else finding.check,
            finding_kind=None if finding is None else finding.kind,
            severity=None if finding is None else finding.severity,
            modalities=tuple(sorted(modalities)),
            domain=self.domain,
            risk=self.risk,
            confidence=min(confidences, default=None),
            verdict=verdict,
            disagrees=finding is not None and self._disagrees(finding.finding_id, verdict),
            rounds_over=rounds_over,
        )

    def _disagrees(self, finding_id: str, verdict: EscalatingVerdict | None) -> bool:
        said = {
            decision.verdict_on(finding_id)
            for decision in self.decisions
            if decision.task_kind is TaskKind.REVIEW and finding_id in decision.finding_ids
        }
        if verdict is not None:
            said.add(Verdict(verdict))
        return len(said & _JUDGEMENTS) > 1


def cause_of(facts: EscalationFacts, rules: RuleSet) -> TaskCause | None:
    """Return the first escalation rule that fits, with the facts; None where none does."""
    return _first(facts, rules.escalation_rules, rules)


def _first(facts: EscalationFacts, tried: Iterable[EscalationRule], rules: RuleSet) -> TaskCause | None:
    rule = next((rule for rule in tried if rule.fits(facts)), None)
    if rule is None:
        return None
    return TaskCause(rule=rule.id, rule_set=rules.reference, to=rule.to, four_eyes=rule.four_eyes, facts=facts)


def rules_that_fire(finding: Finding, circumstances: Circumstances, rules: RuleSet) -> dict[str, str]:
    """Return the id of the rule that fires for a finding, by what is said of it; ``unasked`` before anybody decides."""
    said: tuple[EscalatingVerdict | None, ...] = (None, *JUDGING, "escalate")
    causes = {
        verdict or UNASKED: cause_of(circumstances.facts_about(finding, verdict=verdict), rules) for verdict in said
    }
    return {verdict: cause.rule for verdict, cause in causes.items() if cause is not None}


def leading_cause(causes: Iterable[TaskCause | None], rules: RuleSet) -> TaskCause | None:
    """Return the cause of a task about several findings.

    Four eyes go before all others, so that what one verdict says of another finding can not open the second look; then
    findings that nobody has judged, whose first word may need a second; then the rule that is tried first, then the
    gravest finding.
    """
    place = {rule.id: index for index, rule in enumerate(rules.escalation_rules)}
    return min(
        (cause for cause in causes if cause is not None),
        key=lambda cause: (
            not cause.four_eyes,
            cause.facts.rounds_over,
            place[cause.rule],
            -SEVERITY_ORDER[cause.facts.severity or "info"],
            cause.facts.finding_id or "",
        ),
        default=None,
    )


def escalation_by(
    decision: Decision, findings: Iterable[Finding], circumstances: Circumstances, rules: RuleSet
) -> TaskCause | None:
    """Return the rule that a new decision sets off, None if it needs no second one.

    An expert's word is the last. Only where a rule or a deadline has sent a finding past the reviewers, or somebody has
    handed it on without a verdict, so that it is the first word too, four eyes are asked for it, in the same tier.

    Args:
        decision: The decision.
        findings: What its task was about.
        circumstances: As they were when it was made.
        rules: The rule set in force when it was made.
    """
    tried = _asked_about(decision.verdict, decision.task_kind, decision.caused_by, rules.escalation_rules)
    if not tried:
        return None
    named = decision.judged_by_verdict if decision.verdict is Verdict.ESCALATE else decision.finding_ids
    facts = [
        circumstances.facts_about(finding, verdict=_ESCALATING[decision.verdict_on(finding.finding_id)])
        for finding in findings
        if finding.finding_id in named
    ]
    whole = [circumstances.facts_about(None, verdict=_ESCALATING[decision.verdict])]
    cause = leading_cause((_first(item, tried, rules) for item in facts or whole), rules)
    return _in_the_same_tier(cause, decision)


def escalation_after(decision: Decision, risk: Risk, rules: RuleSet) -> TaskCause | None:
    """Return why a stored decision is followed by a higher tier, None if it is not.

    It is what the decision itself says. One that says nothing still needs what the built-in rules ask for today: it
    may be older than the rules, or than the wish for four eyes.
    """
    if decision.escalated_by is not None:
        return decision.escalated_by
    built_in = built_in_escalations(rules.four_eyes_risks)
    tried = _asked_about(decision.verdict, decision.task_kind, decision.caused_by, built_in)
    if not tried:
        return None
    facts = EscalationFacts(risk=risk, verdict=_ESCALATING[decision.verdict])
    return _in_the_same_tier(_first(facts, tried, rules), decision)


def is_judged_twice(
    task: ReviewTask, findings: Sequence[Finding], circumstances: Circumstances, rules: RuleSet
) -> bool:
    """Whether some verdict on a finding of this task would be followed by a second one."""
    return any(
        _first(circumstances.facts_about(finding, verdict=verdict), tried, rules) is not None
        for verdict in JUDGING
        if (tried := _asked_about(Verdict(verdict), task.kind, task.caused_by, rules.escalation_rules))
        for finding in findings or (None,)
    )


def _asked_about(
    verdict: Verdict, kind: TaskKind, cause: TaskCause | None, rules: Sequence[EscalationRule]
) -> Sequence[EscalationRule]:
    """Return the rules that are asked about a verdict on a task of this kind, opened for this cause."""
    if verdict is Verdict.ESCALATE or (verdict in _ESCALATING and kind is TaskKind.REVIEW):
        return rules
    if verdict not in _ESCALATING or cause is None:
        return ()
    is_first_word = cause.facts.verdict in (None, "escalate") and not cause.facts.rounds_over
    return [rule for rule in rules if rule.four_eyes] if is_first_word else ()


def _in_the_same_tier(cause: TaskCause | None, decision: Decision) -> TaskCause | None:
    """Return the cause with the target of what was decided, where that was in a tier already."""
    first = decision.caused_by
    if cause is None or first is None or cause.to != EscalationTarget():
        return cause
    return cause.model_copy(update={"to": first.to})
