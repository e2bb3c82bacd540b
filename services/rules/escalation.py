"""When a higher tier decides, as data: conditions tried in order, and what follows from the first that fits."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import Annotated, Self

from pydantic import Field, model_validator

from services.contracts.base import Contract, Identifier, Name
from services.contracts.escalation import OVERDUE_RULE, EscalatingVerdict, EscalationFacts, EscalationTarget
from services.contracts.findings import SEVERITY_ORDER, Severity
from services.contracts.manifest import Modality, Risk
from services.rules.answer_agreement import ANSWER_AGREEMENT

JUDGING: tuple[EscalatingVerdict, ...] = ("approve", "fix", "accept_conflict")
"""Verdicts that close a finding, and that a second person of four eyes must not learn."""
MAX_ESCALATIONS = 100

_Some = Field(max_length=300)
_LISTS = ("checks", "kinds", "domains", "risks", "modalities")
# A finding has one of each, but streams of several modalities.
_ONE_OF_EACH = ("checks", "kinds", "domains", "risks", "verdicts")


class EscalationRule(Contract):
    """When a higher tier decides; the first rule that fits is taken, the built-in ones come last.

    Without verdicts it is asked about a finding before anybody decides: what fits goes past the reviewers. With
    verdicts it is asked about what a reviewer has said of a finding (``escalate``: also an annotator): what fits is
    decided a second time. All conditions must hold; an empty list holds for everything.
    """

    id: Identifier
    checks: Annotated[tuple[Name, ...], _Some] = ()
    kinds: Annotated[tuple[Name, ...], _Some] = Field(default=(), description="Kinds of finding.")
    min_severity: Severity = "info"
    modalities: Annotated[tuple[Modality, ...], Field(max_length=8)] = Field(
        default=(), description="Of the streams that the finding names: one of them is enough."
    )
    domains: Annotated[tuple[Name, ...], _Some] = Field(
        default=(), description="Of the sample's context attribute `domain`; the project's domain where it has none."
    )
    risks: Annotated[tuple[Risk, ...], Field(max_length=3)] = ()
    below_confidence: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None,
        description="A label concerned has a lower confidence: a model's, or the agreement of several people.",
    )
    verdicts: Annotated[tuple[EscalatingVerdict, ...], Field(max_length=4)] = Field(
        default=(), description="What was said of the finding; none: asked before anybody decides."
    )
    disagrees: bool = Field(default=False, description="Reviewers have said different things about the finding.")
    rounds_over: bool = Field(
        default=False,
        description="Reviewers had the project's max_review_rounds on the finding, or an expert has decided on it.",
    )
    to: EscalationTarget = EscalationTarget()
    four_eyes: bool = Field(
        default=False, description="The second person sees neither the first verdict nor who gave it."
    )

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.four_eyes and (set(self.verdicts) != set(JUDGING) or self.disagrees):
            raise ValueError(
                "four_eyes needs the verdicts approve, fix and accept_conflict, all three and no other, and not "
                "disagrees: the task alone would tell the second person what the first one said"
            )
        if self.rounds_over and self.verdicts:
            raise ValueError("rounds_over is asked before anybody decides; leave out verdicts")
        return self

    def fits(self, facts: EscalationFacts) -> bool:
        """Whether all conditions hold."""
        if (facts.verdict is None) != (not self.verdicts) or (self.verdicts and facts.verdict not in self.verdicts):
            return False
        confident = self.below_confidence is None or (
            facts.confidence is not None and facts.confidence < self.below_confidence
        )
        return (
            confident
            and (not self.checks or facts.check in self.checks)
            and (not self.kinds or facts.finding_kind in self.kinds)
            and (not self.domains or facts.domain in self.domains)
            and (not self.risks or facts.risk in self.risks)
            and (not self.modalities or not set(self.modalities).isdisjoint(facts.modalities))
            and SEVERITY_ORDER[facts.severity or "info"] >= SEVERITY_ORDER[self.min_severity]
            and (facts.disagrees or not self.disagrees)
            and (facts.rounds_over or not self.rounds_over)
        )

    def covers(self, other: EscalationRule) -> bool:
        """Whether everything that ``other`` fits this one fits too."""
        if bool(self.verdicts) != bool(other.verdicts) or not set(other.verdicts) <= set(self.verdicts):
            return False
        doubtful = self.below_confidence is None or (
            other.below_confidence is not None and other.below_confidence <= self.below_confidence
        )
        return (
            doubtful
            and all(_holds_all(getattr(self, name), getattr(other, name)) for name in _LISTS)
            and SEVERITY_ORDER[self.min_severity] <= SEVERITY_ORDER[other.min_severity]
            and (other.disagrees or not self.disagrees)
            and (other.rounds_over or not self.rounds_over)
        )

    def excludes(self, other: EscalationRule) -> bool:
        """Whether nothing can fit both."""
        return bool(self.verdicts) != bool(other.verdicts) or any(
            mine and theirs and set(mine).isdisjoint(theirs)
            for mine, theirs in ((getattr(self, name), getattr(other, name)) for name in _ONE_OF_EACH)
        )


def _holds_all(mine: Collection[str], theirs: Collection[str]) -> bool:
    return not mine or (bool(theirs) and set(theirs) <= set(mine))


@cache
def built_in_escalations(four_eyes_risks: tuple[Risk, ...]) -> tuple[EscalationRule, ...]:
    """Return the rules that come after those of every rule set.

    Args:
        four_eyes_risks: Samples of these risks need a second person for every verdict.
    """
    return (
        EscalationRule(id="rounds_over", rounds_over=True),
        # Several people have said already what they see of what they do not agree on; a review would be one more vote.
        EscalationRule(id="disputed_answers", checks=(ANSWER_AGREEMENT,)),
        EscalationRule(id="escalated", verdicts=("escalate",)),
        *(
            (EscalationRule(id="four_eyes", verdicts=JUDGING, risks=four_eyes_risks, four_eyes=True),)
            if four_eyes_risks
            else ()
        ),
    )


_RESERVED = frozenset({OVERDUE_RULE, *(rule.id for rule in built_in_escalations(("high",)))})


def ensure_escalations(
    own: Sequence[EscalationRule], built_in: Sequence[EscalationRule], known_checks: Collection[str]
) -> None:
    """Raise ValueError, with the place, for rules of a rule set that can not stand together.

    Args:
        own: The rule set's rules, in order.
        built_in: Those that come after them.
        known_checks: The ids of checks.
    """
    for index, rule in enumerate(own):
        place = f"escalations/{index}"
        if rule.id in _RESERVED:
            raise ValueError(f"{place}/id: {rule.id!r} is the name of a built-in rule; choose another")
        for number, name in enumerate(rule.checks):
            if name not in known_checks:
                raise ValueError(
                    f"{place}/checks/{number}: there is no check {name!r}; name the check of a plug-in in plug_ins too "
                    "({} is enough)"
                )
        for earlier in own[:index]:
            if earlier.id == rule.id:
                raise ValueError(f"{place}/id: {rule.id!r} is there twice; ids are unique")
            if earlier.covers(rule):
                raise ValueError(
                    f"{place}/id: {rule.id!r} can never fit: all it asks for, {earlier.id!r} before it takes; put it "
                    "before that one, or leave one of them out"
                )
        if set(rule.verdicts).isdisjoint(JUDGING) or rule.four_eyes:
            continue
        for later in (*own[index + 1 :], *built_in):
            if later.four_eyes and not rule.excludes(later):
                raise ValueError(
                    f"{place}/verdicts: what {rule.id!r} leaves to the four eyes of {later.id!r} would tell the second "
                    f"person of the first verdict; narrow it to what {later.id!r} does not take, such as other risks"
                )
