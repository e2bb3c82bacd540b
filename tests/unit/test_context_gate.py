from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from services.alignment.context_gate import check_context_gate
from services.alignment.sample import CheckSample
from services.contracts.manifest import SampleManifest
from services.rules.context_gate import ContextGateRules
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet

CAPTURED_AT = datetime(2026, 3, 2, tzinfo=UTC)
POLICY = {"id": "privacy-eu", "version": "3", "status": "approved"}


def _rules(**section: Any) -> RuleSet:
    return DEFAULT_RULE_SET.model_copy(update={"context_gate": ContextGateRules(**section)})


def _sample(context: dict[str, Any], *, captured_at: datetime | None = CAPTURED_AT) -> CheckSample:
    manifest = SampleManifest.model_validate(
        {
            "format": "concord.sample/1",
            "sample_id": "s",
            "project": "p",
            "captured_at": captured_at,
            "context": context,
            "streams": [{"id": "note", "modality": "text", "inline": "hello"}],
        }
    )
    return CheckSample(manifest=manifest, annotations=())


def _kinds(sample: CheckSample, rules: RuleSet) -> list[str]:
    return [finding.kind for finding in check_context_gate(sample, rules).findings]


@pytest.mark.parametrize(
    ("context", "section", "kinds"),
    [
        ({}, {}, []),
        ({}, {"required": ("region",)}, ["missing"]),
        ({"attributes": {"weather": ""}}, {"required": ("attributes.weather",)}, ["missing"]),
        ({"region": "DE"}, {"required": ("region",)}, []),
        ({}, {"required": ("policy",)}, ["missing"]),
        ({"attributes": {"weather": "rain"}}, {"required": ("attributes.weather",)}, []),
        ({"attributes": {"weather": False}}, {"required": ("attributes.weather",)}, []),
        ({}, {"required": ("attributes.weather",)}, ["missing"]),
        ({"region": "US"}, {"allowed": {"region": ("DE", "AT")}}, ["not_allowed"]),
        ({"region": "AT"}, {"allowed": {"region": ("DE", "AT")}}, []),
        ({}, {"allowed": {"region": ("DE",)}}, []),
        ({"policy": POLICY}, {"allowed": {"policy": ("other",)}}, ["not_allowed"]),
        ({"policy": POLICY}, {}, []),
        ({"policy": POLICY | {"status": "draft"}}, {}, ["policy_not_approved"]),
        ({"policy": POLICY | {"status": "draft"}}, {"policy_statuses": ("draft", "approved")}, []),
        ({"policy": POLICY | {"effective_to": "2026-03-02T00:00:00Z"}}, {}, ["policy_expired"]),
        ({"policy": POLICY | {"effective_to": "2026-03-02T00:00:01Z"}}, {}, []),
        ({"policy": POLICY | {"effective_from": "2026-03-02T00:00:01Z"}}, {}, ["not_yet_effective"]),
        ({"policy": POLICY | {"effective_from": "2026-03-02T00:00:00Z"}}, {}, []),
        ({"region": "US", "policy": POLICY | {"regions": ["DE"]}}, {}, ["conflicts_with_sample"]),
        ({"region": "DE", "policy": POLICY | {"regions": ["DE"]}}, {}, []),
        ({"policy": POLICY | {"regions": ["DE"]}}, {}, []),
    ],
)
def test_context_is_compared_with_the_rule_set(
    context: dict[str, Any], section: dict[str, Any], kinds: list[str]
) -> None:
    assert _kinds(_sample(context), _rules(**section)) == kinds


def test_a_policy_without_a_moment_of_capture_is_not_judged_by_its_dates() -> None:
    sample = _sample({"policy": POLICY | {"effective_to": "2020-01-01T00:00:00Z"}}, captured_at=None)

    outcome = check_context_gate(sample, _rules())

    assert outcome.findings == ()
    assert [item.check for item in outcome.not_applicable] == ["context_gate"]


def test_a_finding_says_what_to_send_and_blocks_by_default() -> None:
    rules = _rules(required=("region",))
    (finding,) = check_context_gate(_sample({}), rules).findings

    assert "context.region" in finding.message
    assert rules.blocks(finding)


def test_the_id_of_a_finding_depends_on_the_field_and_not_on_its_value() -> None:
    rules = _rules(allowed={"region": ("DE",), "product": ("a",)})
    first = check_context_gate(_sample({"region": "US", "product": "b"}), rules).findings
    second = check_context_gate(_sample({"region": "FR", "product": "b"}), rules).findings

    assert {finding.finding_id for finding in first} == {finding.finding_id for finding in second}
    assert len({finding.finding_id for finding in first}) == 2
