"""Dictations beside patients' records, and two rule sets that differ in what they find in them.

Of ten dictations five say of the dose what the record says. Two differ by 2 %, as rounding does, one by 4 %, two by
25 %. Two name the other side of the body. The first rules tolerate 1 % and ask nothing about the side; the second
tolerate 5 %, ask about the side too, and send what is of a high risk to experts at once: findings go, come, and are
escalated.
"""

from __future__ import annotations

from typing import Any

from infra.storage.rule_files import built_in_rules
from services.rules.escalation import EscalationRule
from services.rules.record_agreement import RecordAgreementRules, RecordBinding, ToleranceComparison
from services.rules.rule_set import RuleSet

PROJECT = "clinic"
KINDS = 10
RECORDED_MG = 500
_DICTATED_MG = {4: 510, 5: 490, 6: 520, 7: 625, 9: 375}
_WRONG_SIDES = frozenset({8, 9})
_TOLERATED_BEFORE, _TOLERATED_AFTER = 0.01, 0.05
_HIGH_RISK_EVERY = 7
_DECIDED_EVERY = 5


def sample_id_of(number: int) -> str:
    """Return the id of a dictation."""
    return f"visit-{number:06d}"


def number_of(sample_id: str) -> int:
    """Return which dictation an id names; the inverse of :func:`sample_id_of`."""
    return int(sample_id.removeprefix("visit-"))


def dose_error(number: int) -> float:
    """Return by how much the dictated dose differs from the record's, as a share of it."""
    return abs(_DICTATED_MG.get(number % KINDS, RECORDED_MG) - RECORDED_MG) / RECORDED_MG


def is_asked(number: int) -> bool:
    """Whether the first rules ask people about a dictation."""
    return dose_error(number) > _TOLERATED_BEFORE


def is_still_asked(number: int) -> bool:
    """Whether the second rules ask people about the dose of a dictation."""
    return dose_error(number) > _TOLERATED_AFTER


def is_decided(number: int) -> bool:
    """Whether people have decided on a dictation before the rules change."""
    return is_asked(number) and number % _HIGH_RISK_EVERY != 0 and (number // KINDS) % _DECIDED_EVERY == 0


def is_wrong(number: int) -> bool:
    """Whether the dose really is wrong; 2 % are rounded."""
    return dose_error(number) > 0.03


def manifest_of(number: int) -> dict[str, Any]:
    """Return the manifest of a dictation: what it says follows from its number."""
    dose = f"{_DICTATED_MG.get(number % KINDS, RECORDED_MG)} mg"
    side = "left" if number % 2 else "right"
    other = "right" if number % 2 else "left"
    text = f"Start amoxicillin {dose} three times a day for the {side} ear."
    return {
        "format": "concord.sample/1",
        "sample_id": sample_id_of(number),
        "project": PROJECT,
        "captured_at": "2026-05-04T09:30:00Z",
        "context": {
            "region": "DE",
            "risk": "low" if number % _HIGH_RISK_EVERY else "high",
            "policy": {"id": "privacy", "version": "1", "status": "approved"},
        },
        "streams": [
            {"id": "dictation", "modality": "text", "inline": text},
            {
                "id": "ehr",
                "modality": "record",
                "inline": {"dose": f"{RECORDED_MG} mg", "side": other if number % KINDS in _WRONG_SIDES else side},
            },
        ],
        "annotations": [_span("dose", dose, text), _span("side", side, text)],
    }


def _span(label: str, words: str, text: str) -> dict[str, Any]:
    start = text.index(words)
    return {
        "id": label,
        "type": "entity_span",
        "stream": "dictation",
        "label": label,
        "start_char": start,
        "end_char": start + len(words),
        "text": words,
        "author": {"kind": "human", "id": "anna"},
    }


def rules_before() -> RuleSet:
    """Return the rules that the samples are first checked by."""
    return _rules(1, RecordAgreementRules(bindings=(_dose(_TOLERATED_BEFORE),)))


def rules_after() -> RuleSet:
    """Return the rules that the project goes over to."""
    side = RecordBinding(id="side", label_kinds=("entity_span",), labels=("side",), value="text", fields=("side",))
    section = RecordAgreementRules(bindings=(_dose(_TOLERATED_AFTER), side), severities={"field_mismatch": "critical"})
    grave = EscalationRule(id="grave", checks=("record_agreement",), min_severity="critical", risks=("high",))
    return _rules(2, section).model_copy(update={"escalations": (grave,)})


def _rules(version: int, section: RecordAgreementRules) -> RuleSet:
    return built_in_rules("healthcare").model_copy(
        update={"id": PROJECT, "version": version, "record_agreement": section}
    )


def _dose(tolerated: float) -> RecordBinding:
    return RecordBinding(
        id="dose",
        label_kinds=("entity_span",),
        labels=("dose",),
        value="text",
        fields=("dose",),
        comparison=ToleranceComparison(relative=tolerated, unit="mg"),
    )
