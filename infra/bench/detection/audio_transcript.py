"""Known faults between transcripts and sound, put into recorded calls."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from infra.bench.detection.fault import LabelFault
from infra.bench.detection.recordings import as_injection, read_samples
from infra.demo import faults
from infra.storage import call_folder
from services.alignment.sample import CheckSample

CHECK = "audio_transcript"

FAULTS = (
    *(
        LabelFault(
            CHECK, "offset", as_injection(partial(faults.delay_transcript, by_s=seconds)), name=f"{seconds:+g} s"
        )
        for seconds in (0.5, 1.5, -1.5, 3.0)
    ),
    LabelFault(CHECK, "speech_untranscribed", as_injection(faults.lose_segment), name="segment lost"),
)


def clean_samples(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield recorded calls, each a group."""
    if (data / "pyannote_call").is_dir():
        yield from read_samples(call_folder.iter_manifests(data / "pyannote_call", "bench"), 2)
