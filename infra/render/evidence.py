"""All pictures of the findings of one sample, as PNG files."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, JpegImagePlugin, PngImagePlugin

from infra.checks.batch import CheckedSample
from infra.checks.child import read_sample
from infra.checks.process import ReaderConfig
from infra.render.spatial import birds_eye_pictures, camera_pictures
from infra.render.timed import timeline_picture, waveform_pictures
from infra.storage.assets import FileAssetReader
from infra.storage.decode import decode_image_size
from services.alignment.sample import CheckSample
from services.contracts.findings import Finding
from services.errors import AssetError
from services.rules.rule_set import RuleSet

MAX_FINDINGS = 50
"""Findings of one sample that are drawn, the gravest first."""


def render_findings(sample: CheckedSample, config: ReaderConfig, rules: RuleSet, directory: Path) -> list[Path]:
    """Draw the findings of a sample and return the files.

    Args:
        sample: The checked sample.
        config: How its assets are read.
        rules: The rule set it was checked with.
        directory: Where the files go; made if it is not there.
    """
    findings = sample.report.findings[:MAX_FINDINGS]
    if not findings:
        return []
    seen, images = asyncio.run(_read(sample, config, rules))
    directory.mkdir(parents=True, exist_ok=True)
    files = []
    for number, finding in enumerate(findings, start=1):
        for name, picture in evidence_pictures(seen, finding, rules, images):
            file = directory / f"{number:02d}-{_safe(finding.check)}-{_safe(finding.kind)}-{_safe(name)}.png"
            picture.save(file, format="PNG")
            files.append(file)
    return files


def evidence_pictures(
    sample: CheckSample, finding: Finding, rules: RuleSet, images: dict[str, Image.Image]
) -> Iterator[tuple[str, Image.Image]]:
    """Yield (name, picture) of everything there is to see of a finding; nothing where there is nothing to draw."""
    for name, picture in camera_pictures(sample, finding, rules, images):
        yield f"camera-{name}", picture
    for name, picture in birds_eye_pictures(sample, finding):
        yield f"above-{name}", picture
    for name, picture in waveform_pictures(sample, finding, rules):
        yield f"sound-{name}", picture
    timeline = timeline_picture(sample, finding)
    if timeline is not None:
        yield "timeline", timeline


async def _read(
    sample: CheckedSample, config: ReaderConfig, rules: RuleSet
) -> tuple[CheckSample, dict[str, Image.Image]]:
    reader = FileAssetReader(config.roots, config.max_bytes, config.timeout_s)
    seen, *_ = await read_sample(sample.manifest, sample.annotations, reader, rules)
    images: dict[str, Image.Image] = {}
    for stream in sample.manifest.streams:
        if stream.uri is None or stream.id not in seen.image_sizes_px:
            continue
        try:
            content = await reader.read(stream.uri, sha256=stream.sha256)
            decode_image_size(content.data, name=stream.id)  # judges the size before a pixel is decoded
            images[stream.id] = _decoded(content.data)
        except (AssetError, OSError, SyntaxError, ValueError):
            continue  # a blank canvas says that there is no image; the report says why
    return seen, images


def _decoded(data: bytes) -> Image.Image:
    opened = (PngImagePlugin.PngImageFile if data.startswith(b"\x89PNG") else JpegImagePlugin.JpegImageFile)(
        io.BytesIO(data)
    )
    return opened.convert("RGB")


def _safe(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)[:80]
