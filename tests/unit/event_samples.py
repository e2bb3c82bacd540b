"""Samples of events for the tests of the event, clock, affect and coverage checks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from services.alignment.sample import CheckOutcome, CheckSample
from services.contracts.annotations import Annotation
from services.contracts.labels_language import SoundEvent
from services.contracts.labels_visual import Action, Event
from services.contracts.manifest import Context, SampleManifest, Stream

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
VIDEO = Stream(id="video", modality="video", duration_s=100.0)
AUDIO = Stream(id="audio", modality="audio", duration_s=100.0)


def needs(*folders: str) -> pytest.MarkDecorator:
    missing = [folder for folder in folders if not (DATA / folder).is_dir()]
    return pytest.mark.skipif(bool(missing), reason=f"these recordings are not on this machine: {missing}")


def sample_of(
    labels: Iterable[Annotation] = (),
    streams: Sequence[Stream] = (VIDEO, AUDIO),
    context: Context | None = None,
    name: str = "s",
) -> CheckSample:
    manifest = SampleManifest(
        format="concord.sample/1", sample_id=name, project="p", streams=tuple(streams), context=context or Context()
    )
    return CheckSample(manifest=manifest, annotations=tuple(labels))


def action(name: str, label: str, start_s: float, end_s: float, **more: Any) -> Action:
    return Action.model_validate(
        {"id": name, "stream": "video", "label": label, "start_s": start_s, "end_s": end_s} | more
    )


def mark(name: str, label: str, phase: str, at_s: float, **more: Any) -> Event:
    return Event.model_validate(
        {"id": name, "stream": "video", "label": label, "phase": phase, "start_s": at_s, "end_s": at_s} | more
    )


def sound(name: str, label: str, start_s: float, end_s: float, **more: Any) -> SoundEvent:
    return SoundEvent.model_validate(
        {"id": name, "stream": "audio", "label": label, "start_s": start_s, "end_s": end_s} | more
    )


def kinds(outcome: CheckOutcome) -> list[str]:
    return sorted(finding.kind for finding in outcome.findings)


def told(outcome: CheckOutcome) -> list[tuple[str, tuple[str, ...]]]:
    return sorted((finding.kind, tuple(sorted(finding.annotations))) for finding in outcome.findings)
