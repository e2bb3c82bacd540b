"""What the fault injections of several checks share: recordings as samples, and the demonstration's faults."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from infra.bench.detection.fault import Inject, Injected
from infra.demo.faults import Fault
from infra.storage.decode import decode_stream
from services.alignment.sample import AudioData, CheckSample
from services.contracts.manifest import SampleManifest


def read_sample(manifest: SampleManifest) -> CheckSample:
    """Return a sample with its assets, which are trusted files of this machine."""
    audio: dict[str, AudioData] = {}
    clouds_m: dict[str, NDArray[np.float32]] = {}
    sizes_px: dict[str, tuple[int, int]] = {}
    for stream in manifest.streams:
        if stream.uri is None:
            continue
        decoded = decode_stream(stream, Path(unquote(urlsplit(stream.uri).path)).read_bytes())
        if isinstance(decoded, AudioData):
            audio[stream.id] = decoded
        elif isinstance(decoded, tuple):
            sizes_px[stream.id] = decoded
        elif decoded is not None:
            clouds_m[stream.id] = decoded
    return CheckSample(manifest, manifest.annotations, audio=audio, clouds_m=clouds_m, image_sizes_px=sizes_px)


def read_samples(manifests: Iterable[SampleManifest], group_parts: int) -> Iterator[tuple[str, CheckSample]]:
    """Yield (group, sample); the group is the first ``group_parts`` parts of a sample id between hyphens."""
    for manifest in manifests:
        yield "-".join(manifest.sample_id.split("-")[:group_parts]), read_sample(manifest)


def as_injection(fault: Fault) -> Inject:
    """Return a fault of the demonstration as one of this benchmark."""

    def inject(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
        faulty = fault(sample.manifest.model_copy(update={"annotations": sample.annotations}), rng)
        if faulty is None:
            return None
        manifest, record = faulty
        return replace(sample, manifest=manifest, annotations=manifest.annotations), frozenset(record.annotations)

    return inject
