"""Escalation rules over a small vocabulary: what fits, what covers what, and that four eyes never tell the verdict."""

from __future__ import annotations

from itertools import product
from typing import Any, get_args

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.contracts.escalation import EscalatingVerdict, EscalationFacts, EscalationTarget
from services.contracts.findings import Severity
from services.contracts.manifest import RISKS, Modality, Risk
from services.contracts.review import TaskKind, Verdict
from services.review.escalation import Circumstances, cause_of, escalation_by, is_judged_twice, leading_cause
from services.rules.answer_agreement import ANSWER_AGREEMENT
from services.rules.escalation import JUDGING, EscalationRule
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet
from tests.review_cases import a_decision, a_finding, a_revision, a_task

CHECKS = ("lidar_camera", ANSWER_AGREEMENT)
KINDS = ("low_overlap", "drift")
DOMAINS = ("rail", "road")
MODALITIES: tuple[Modality, ...] = ("image", "lidar")
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
VERDICTS: tuple[EscalatingVerdict, ...] = get_args(EscalatingVerdict)
LIMITS = (0.5, 0.9)
CONFIDENCES = (None, 0.1, 0.7, 0.95)


def some(values: tuple[Any, ...]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.one_of(st.just(()), st.lists(st.sampled_from(values), unique=True, max_size=2).map(tuple))


@st.composite
def rules(draw: st.DrawFn, name: str = "rule") -> EscalationRule:
    four_eyes = draw(st.booleans())
    verdicts = JUDGING if four_eyes else draw(some(VERDICTS))
    return EscalationRule(
        id=name,
        checks=draw(some(CHECKS)),
        kinds=draw(some(KINDS)),
        domains=draw(some(DOMAINS)),
        risks=draw(some(RISKS)),
        modalities=draw(some(MODALITIES)),
        min_severity=draw(st.sampled_from(SEVERITIES)),
        below_confidence=draw(st.sampled_from((None, *LIMITS))),
        verdicts=verdicts,
        disagrees=not four_eyes and draw(st.booleans()),
        rounds_over=not verdicts and draw(st.booleans()),
        to=EscalationTarget(tier=draw(st.sampled_from(("expert", "lead", "owner")))),
        four_eyes=four_eyes,
    )


facts = st.builds(
    EscalationFacts,
    finding_id=st.sampled_from(("f-1", "f-2", "f-3")),
    check=st.sampled_from((*CHECKS, "other", None)),
    finding_kind=st.sampled_from((*KINDS, "other", None)),
    severity=st.sampled_from((*SEVERITIES, None)),
    modalities=st.lists(st.sampled_from((*MODALITIES, "text")), unique=True, min_size=1).map(tuple),
    domain=st.sampled_from((*DOMAINS, "other", None)),
    risk=st.sampled_from(RISKS),
    confidence=st.sampled_from(CONFIDENCES),
    verdict=st.sampled_from((None, *VERDICTS)),
    disagrees=st.booleans(),
    rounds_over=st.booleans(),
)


def fitting(rule: EscalationRule, other: EscalationRule) -> list[EscalationFacts]:
    """Facts that ``rule`` fits, among them those that are on the edge of what ``other`` asks for."""
    free = {
        "check": (rule.checks or (*CHECKS, "other")),
        "finding_kind": (rule.kinds or (*KINDS, "other")),
        "domain": (rule.domains or (*DOMAINS, "other")),
        "risk": (rule.risks or RISKS),
        "modalities": tuple((one,) for one in rule.modalities or (*MODALITIES, "text")),
        "severity": (rule.min_severity,),
        "confidence": CONFIDENCES if rule.below_confidence is None else (0.1, rule.below_confidence - 0.01),
        "verdict": rule.verdicts or (None,),
        "disagrees": (True,) if rule.disagrees else (False, True),
        "rounds_over": (True,) if rule.rounds_over else (False, True),
    }
    # One member at a time leaves the ground: whether rules cover each other is decided member by member.
    ground = {name: values[0] for name, values in free.items()}
    for name, values in free.items():
        wanted = [value for value in values if other.fits(EscalationFacts(**{**ground, name: value}))]
        ground[name] = next(iter(wanted), values[0])
    found = [EscalationFacts(**{**ground, name: value}) for name, values in free.items() for value in values]
    return [item for item in found if rule.fits(item)]


@given(rules(), rules(), facts)
def test_what_a_covered_rule_fits_the_one_before_it_fits(one: EscalationRule, two: EscalationRule, it: Any) -> None:
    if one.covers(two):
        assert not two.fits(it) or one.fits(it)
    if one.excludes(two):
        assert not (one.fits(it) and two.fits(it))


@given(rules(), rules())
def test_a_rule_that_nothing_covers_fits_something_that_no_other_does(one: EscalationRule, two: EscalationRule) -> None:
    assert one.covers(two) == all(one.fits(item) for item in fitting(two, one))
    assert one.excludes(two) == two.excludes(one)
    assert one.covers(one)


@given(facts, st.sampled_from(RISKS), st.integers(0, 3))
def test_without_rules_of_its_own_a_rule_set_escalates_as_before(it: EscalationFacts, risk: Risk, eyes: int) -> None:
    plain = DEFAULT_RULE_SET.model_copy(update={"four_eyes_risks": RISKS[:eyes]})
    it = it.model_copy(update={"risk": risk})
    cause = cause_of(it, plain)
    expected = {
        None: "rounds_over" if it.rounds_over else "disputed_answers" if it.check == ANSWER_AGREEMENT else None,
        "escalate": "escalated",
    }.get(it.verdict, "four_eyes" if risk in RISKS[:eyes] else None)
    assert (None if cause is None else cause.rule) == expected


@st.composite
def rule_sets(draw: st.DrawFn) -> RuleSet:
    own = [draw(rules(f"own-{number}")) for number in range(draw(st.integers(1, 4)))]
    try:
        return RuleSet(id="r", version=1, escalations=tuple(own), four_eyes_risks=draw(some(RISKS)))
    except ValidationError:
        assume(False)
        raise


@given(rule_sets(), facts)
def test_the_first_rule_that_fits_is_taken(them: RuleSet, it: EscalationFacts) -> None:
    fit = [rule for rule in them.escalation_rules if rule.fits(it)]
    cause = cause_of(it, them)
    if not fit:
        assert cause is None
        return
    assert cause is not None
    assert (cause.rule, cause.to, cause.four_eyes) == (fit[0].id, fit[0].to, fit[0].four_eyes)
    assert (cause.rule_set, cause.facts) == (them.reference, it)


@given(rule_sets())
def test_every_own_rule_of_a_valid_rule_set_can_fire(them: RuleSet) -> None:
    for index, rule in enumerate(them.escalations or ()):
        for earlier in (them.escalations or ())[:index]:
            assert any(not earlier.fits(item) for item in fitting(rule, earlier))


@given(rule_sets(), st.lists(facts, min_size=1, max_size=2, unique_by=lambda it: it.finding_id))
def test_the_second_look_is_the_same_whatever_the_first_person_said(them: RuleSet, about: list[Any]) -> None:
    """What the second person can see of a four-eyes task, that it is there and where, does not hang on the verdict."""
    seen = set()
    for said in product(product(JUDGING, (False, True)), repeat=len(about)):
        told = [
            it.model_copy(update={"verdict": verdict, "disagrees": disagrees})
            for it, (verdict, disagrees) in zip(about, said, strict=True)
        ]
        cause = leading_cause([cause_of(it, them) for it in told], them)
        seen.add(None if cause is None or not cause.four_eyes else (cause.rule, cause.to))
    assert len(seen) == 1


@given(rule_sets(), st.sampled_from(JUDGING), st.sampled_from(RISKS), st.sampled_from(SEVERITIES), st.booleans())
def test_no_rule_set_takes_four_eyes_from_its_risks(
    them: RuleSet, said: EscalatingVerdict, risk: Risk, severity: Severity, is_fixed_before: bool
) -> None:
    """The first word on a finding, a reviewer's or that of who a rule sent it to, is followed by a blind second one."""
    if risk not in them.four_eyes_risks:
        return
    finding = a_finding(check="lidar_camera", kind="drift", severity=severity).finding
    earlier = (a_decision(a_task(), Verdict.FIX, "eva"),) if is_fixed_before else ()
    case = Circumstances(risk, "rail", a_revision().manifest.streams, (), earlier)
    cause = cause_of(case.facts_about(finding), them)
    task = a_task(TaskKind.REVIEW if cause is None else TaskKind.ADJUDICATE, caused_by=cause)
    first = a_decision(task, Verdict(said), caused_by=cause)
    second = escalation_by(first, (finding,), case, them)
    assert second is not None
    assert second.four_eyes
    assert is_judged_twice(task, (finding,), case, them)
    look = a_task(TaskKind.ADJUDICATE, caused_by=second)
    assert escalation_by(a_decision(look, Verdict.APPROVE, "exa", caused_by=second), (finding,), case, them) is None


@given(rules())
def test_four_eyes_take_every_verdict_that_could_be_told_apart(rule: EscalationRule) -> None:
    for verdicts in ((), ("fix",), ("approve", "fix"), (*JUDGING, "escalate")):
        with pytest.raises(ValidationError, match="four_eyes needs"):
            EscalationRule(**{**rule.model_dump(), "rounds_over": False, "verdicts": verdicts, "four_eyes": True})
