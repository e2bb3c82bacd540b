"""Escalation rules in a rule set: what is refused and where, how they are inherited, listed and tried."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.storage.rule_files import read_rules
from services.alignment.engine import CHECKS
from services.contracts.canonical import canonical_json
from services.contracts.validation import validate
from services.errors import InvalidInputError
from services.rules.rule_set import CHECK_SECTIONS, DEFAULT_RULE_SET, RuleSet
from tests.unit.cli.test_check import manifest, write
from tests.unit.test_rule_inheritance import file, rules

LEAD = {"tier": "lead"}


def rule_set(*escalations: dict[str, Any], **fields: Any) -> RuleSet:
    document = {"id": "mine", "version": 1, "escalations": list(escalations), **fields}
    return validate(RuleSet, document, what="rule set")


def test_the_known_checks_are_those_that_there_are() -> None:
    assert set(CHECKS) == CHECK_SECTIONS
    assert set(RuleSet.model_fields) >= CHECK_SECTIONS


def test_a_rule_set_that_says_nothing_keeps_its_content_and_its_built_in_rules() -> None:
    assert b"escalations" not in canonical_json(DEFAULT_RULE_SET)
    assert [rule.id for rule in DEFAULT_RULE_SET.escalation_rules] == [
        "rounds_over", "disputed_answers", "escalated", "four_eyes",
    ]  # fmt: skip
    without = rule_set(four_eyes_risks=[])
    assert [rule.id for rule in without.escalation_rules] == ["rounds_over", "disputed_answers", "escalated"]
    own = rule_set({"id": "own", "to": LEAD}, four_eyes_risks=["low", "high"])
    assert [rule.id for rule in own.escalation_rules] == [
        "own", "rounds_over", "disputed_answers", "escalated", "four_eyes",
    ]  # fmt: skip
    assert own.escalation_rules[-1].risks == ("low", "high")


@pytest.mark.parametrize(
    ("escalations", "place", "says"),
    [
        ([{"id": "a", "checks": ["clock"]}, {"id": "a", "checks": ["coverage"]}], "/escalations/1/id", "twice"),
        ([{"id": "four_eyes"}], "/escalations/0/id", "built-in"),
        ([{"id": "overdue"}], "/escalations/0/id", "built-in"),
        ([{"id": "a", "checks": ["clock", "clocks"]}], "/escalations/0/checks/1", "no check 'clocks'"),
        (
            [{"id": "a", "checks": ["clock"], "min_severity": "major"},
             {"id": "b", "checks": ["clock"], "min_severity": "critical", "risks": ["low"]}],
            "/escalations/1/id", "'b' can never fit: all it asks for, 'a' before it takes",
        ),
        ([{"id": "a", "verdicts": ["fix"], "risks": ["low"]},
          {"id": "b", "verdicts": ["fix"], "risks": ["low"], "disagrees": True}], "/escalations/1/id", "never fit"),
        ([{"id": "a", "verdicts": ["fix"], "four_eyes": True}], "/escalations/0", "four_eyes needs the verdicts"),
        ([{"id": "a", "four_eyes": True}], "/escalations/0", "four_eyes needs the verdicts"),
        ([{"id": "a", "verdicts": ["approve", "fix", "accept_conflict"], "four_eyes": True, "disagrees": True}],
         "/escalations/0", "not disagrees"),
        ([{"id": "a", "verdicts": ["fix"], "rounds_over": True}], "/escalations/0", "leave out verdicts"),
        ([{"id": "a", "verdicts": ["reject"]}], "/escalations/0/verdicts/0", "approve"),
        ([{"id": "a", "below_confidence": 0}], "/escalations/0/below_confidence", "greater than 0"),
        ([{"id": "a", "to": {"tier": "The Boss"}}], "/escalations/0/to/tier", "pattern"),
        ([{"id": "a", "risk": ["high"]}], "/escalations/0/risk", "not a field"),
        # What is left to four eyes would tell of the first verdict.
        ([{"id": "a", "verdicts": ["fix"]}], "/escalations/0/verdicts", "four eyes of 'four_eyes'"),
        (
            [{"id": "a", "verdicts": ["fix"], "risks": ["low"]},
             {"id": "b", "verdicts": ["approve", "fix", "accept_conflict"], "four_eyes": True, "checks": ["clock"]}],
            "/escalations/0/verdicts", "four eyes of 'b'",
        ),
        ([{"id": f"r{number}", "checks": ["clock"]} for number in range(101)], "/escalations", "more than 100"),
    ],
)  # fmt: skip
def test_what_can_not_stand_is_refused_at_its_place(escalations: list[dict[str, Any]], place: str, says: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        rule_set(*escalations)
    assert caught.value.places[0][0] == place
    assert says in caught.value.places[0][1]


def test_what_can_stand_is_taken() -> None:
    rule_set({"id": "a", "checks": ["greeting"]}, plug_ins={"greeting": {}})
    rule_set({"id": "a", "min_severity": "critical"}, {"id": "b", "min_severity": "major"})
    rule_set({"id": "a", "below_confidence": 0.3}, {"id": "b", "below_confidence": 0.5})
    rule_set({"id": "a", "verdicts": ["escalate"]}, {"id": "b"})
    rule_set({"id": "a", "verdicts": ["fix"], "risks": ["low"]})
    rule_set({"id": "a", "verdicts": ["fix"]}, four_eyes_risks=[])
    rule_set(
        {"id": "b", "verdicts": ["fix", "approve", "accept_conflict"], "four_eyes": True, "checks": ["clock"]},
        {"id": "a", "verdicts": ["fix"], "risks": ["low"]},
    )


def test_rules_are_inherited_overruled_and_taken_back(tmp_path: Path) -> None:
    first, second, third = ({"id": name, "checks": [name], "to": LEAD} for name in ("clock", "coverage", "text_visual"))

    def named(content: dict[str, Any]) -> list[str]:
        path = write(tmp_path / "child.json", {"id": "child", "version": 1, "extends": "./base.json", **content})
        return [rule.id for rule in read_rules(path).escalations or ()]

    file(tmp_path, "base.json", extends="default", escalations=[first, second])
    assert named({}) == ["clock", "coverage"]
    assert named({"+escalations": [third]}) == ["text_visual", "clock", "coverage"]
    assert named({"escalations": [third]}) == ["text_visual"]
    assert named({"escalations": None}) == []
    file(tmp_path, "base.json", extends="default")
    assert named({"+escalations": [third]}) == ["text_visual"]


def test_the_rules_of_a_rule_set_are_listed_in_their_order(tmp_path: Path) -> None:
    own = {"id": "grave", "checks": ["context_gate"], "min_severity": "critical", "to": {**LEAD, "skill": "law"}}
    path = file(tmp_path, extends="default", escalations=[own])
    told = json.loads(rules("escalations", path, "--json").stdout)
    assert [(item["id"], item["built_in"]) for item in told["items"]] == [
        ("grave", False), ("rounds_over", True), ("disputed_answers", True),
        ("escalated", True), ("four_eyes", True),
    ]  # fmt: skip
    lines = rules("escalations", path).stdout.splitlines()
    assert "checks context_gate; min severity critical" in lines[1]
    assert "lead; skill law" in lines[1]
    assert "built in" in rules("escalations").stdout


def test_a_trial_tells_which_rules_would_fire(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", manifest())
    own = [
        {"id": "grave", "checks": ["context_gate"], "min_severity": "critical", "to": LEAD},
        {"id": "checked", "verdicts": ["accept_conflict"], "risks": ["low", "medium"]},
        {"id": "sure", "below_confidence": 0.9, "checks": ["clock"]},
    ]
    changed = file(tmp_path, extends="default", escalations=own)
    told = json.loads(rules("try", changed, path, "--json").stdout)
    (sample,) = told["samples"]
    (differs,) = sample["escalated_otherwise"]
    assert differs["from"] == {"escalate": "escalated"}
    assert differs["to"] == {"unasked": "grave", "accept_conflict": "checked", "escalate": "escalated"}
    assert told["summary"]["escalation_rules"] == {"checked": 1, "escalated": 1, "grave": 1}
    text = rules("try", changed, path).stdout
    assert "unasked: - -> grave; accept_conflict: - -> checked" in text
    assert "1 escalated otherwise" in text


def test_the_example_of_the_page_is_valid(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")
    example = json.loads(page.partition("## Escalation")[2].split("```json\n")[1].split("```")[0])
    found = read_rules(write(tmp_path / "example.json", example))
    assert [rule.id for rule in found.escalations or ()] == ["grave-clinical", "unsure", "two-for-text", "accepted"]
