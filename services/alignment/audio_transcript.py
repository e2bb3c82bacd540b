"""The ``audio_transcript`` check."""

from __future__ import annotations

from services.alignment.sample import CheckOutcome, CheckSample
from services.rules.rule_set import RuleSet


def check_audio_transcript(sample: CheckSample, rules: RuleSet) -> CheckOutcome:
    """Being written."""
    return CheckOutcome()
