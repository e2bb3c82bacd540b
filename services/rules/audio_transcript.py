"""Thresholds of the ``audio_transcript`` check."""

from __future__ import annotations

from services.contracts.base import Contract


class AudioTranscriptRules(Contract):
    """When a transcript and its recording disagree."""

    enabled: bool = True
