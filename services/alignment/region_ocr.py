"""What a machine reads in the regions of a picture, beside what their labels say.

The machine misreads too: a letter here and there, a lost point, characters that it makes of noise. So it is heard only
where it is confident, and only with more than it errs by itself: another digit in a number, or another text. Letters
are compared by their error rate (edit distance by the longer text's length), without case, spaces and punctuation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rapidfuzz.distance import Levenshtein

from services.alignment.page_text import fold_letters, is_numeric
from services.alignment.region_text import Region, text_in
from services.alignment.sample import CheckSample
from services.alignment.text_visual_source import CHECK, Maker
from services.alignment.visual_evidence import extent_px
from services.contracts.annotations import Annotation
from services.contracts.findings import Finding, Measured, NotApplicable
from services.contracts.manifest import SampleManifest
from services.rules.text_visual import RegionOcrRules, TextVisualRules

_MIN_WRONG_LETTERS = 2
_UPRIGHT = 1.5
_UPRIGHT_LETTERS = 2


def regions_to_read(
    manifest: SampleManifest, annotations: Sequence[Annotation], section: TextVisualRules
) -> Mapping[str, list[Region]]:
    """Return the regions that a machine should read, by image stream; those that OCR read already are left out.

    A line of text that stands upright is left out too: the networks read from left to right.
    """
    pictures = {stream.id for stream in manifest.streams if stream.modality == "image" and stream.uri is not None}
    found: dict[str, list[Region]] = {}
    for label in sorted(annotations, key=lambda item: item.id):
        said = text_in(label, section.text_attributes)
        box = extent_px(label) if label.stream in pictures else None
        if box is None or not fold_letters(said) or text_in(label, section.ocr_attributes):
            continue
        width, height = box[2] - box[0], box[3] - box[1]
        if height <= _UPRIGHT * width or len(fold_letters(said)) <= _UPRIGHT_LETTERS:
            found.setdefault(label.stream, []).append(Region(label, box, said))
    return found


def ocr_findings(maker: Maker, sample: CheckSample) -> tuple[list[Finding], list[NotApplicable]]:
    """Return (regions where the machine reads another text, streams that it could not read)."""
    rules = maker.section.ocr
    if rules is None:
        return [], []
    findings: list[Finding] = []
    missing: list[NotApplicable] = []
    for stream, regions in sorted(regions_to_read(sample.manifest, sample.annotations, maker.section).items()):
        why = sample.unavailable.get(f"ocr:{stream}")
        if why is not None or not any(region.label.id in sample.region_texts for region in regions):
            reason = f"the regions of {stream} were not held against OCR: {why or 'no reader was given'}"
            missing.append(NotApplicable(check=CHECK, reason=reason, streams=(stream,)))
            continue
        findings.extend(_judged(maker, rules, sample, regions))
    return findings, missing


def _judged(maker: Maker, rules: RegionOcrRules, sample: CheckSample, regions: Sequence[Region]) -> Iterator[Finding]:
    for region in regions:
        read = sample.region_texts.get(region.label.id)
        if read is None or read.confidence < rules.min_confidence:
            continue
        error = another_text(region.text, read.text, rules.max_error)
        if error is None:
            continue
        label = region.label
        yield maker.make(
            "region_text_mismatch",
            "major",
            f"The region {label.id} is labelled “{region.text[:80]}”, and OCR of the picture reads “{read.text[:80]}” "
            f"(confidence {read.confidence:.2f}).",
            streams=(label.stream,),
            annotations=(label.id,),
            frames=(label.frame,) if label.frame is not None else (),
            place="ocr of the picture",
            measured=Measured(value=error, unit="share of wrong letters", threshold=rules.max_error),
            at_most=rules.max_severity,
        )


def another_text(said: str, read: str, max_error: float) -> float | None:
    """Return the share of letters that differ if two readings are of another text; None if a misreading explains it.

    Args:
        said: By the label.
        read: By the machine.
        max_error: Share of wrong letters up to which the machine may have misread; numbers are held to every digit.
    """
    one, other = fold_letters(said), fold_letters(read)
    if not one or not other or one == other:
        return None
    wrong = Levenshtein.distance(one, other)
    error = wrong / max(len(one), len(other))
    if is_numeric(said) and is_numeric(read):
        return error if _digits(said) != _digits(read) else None
    return error if wrong >= _MIN_WRONG_LETTERS and error > max_error else None


def _digits(text: str) -> str:
    """Return the digits of an amount or a date: a lost point or currency is a misreading, a digit is not."""
    return "".join(character for character in text if character.isdigit())
