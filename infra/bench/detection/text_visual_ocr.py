"""Known faults in the text of regions, found by reading the regions of real receipts with OCR."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from infra.bench.detection.fault import Injected, LabelFault
from infra.bench.detection.text_recordings import WILDRECEIPT, labelled_receipts, receipts
from infra.checks.region_reader import read_regions
from services.alignment.page_text import fold_letters, is_numeric
from services.alignment.region_ocr import regions_to_read
from services.alignment.sample import CheckSample
from services.contracts.labels_visual import Box
from services.rules.rule_set import RuleSet
from services.rules.text_visual import RegionOcrRules, TextVisualRules

CHECK = "text_visual"
_WRONG_LETTERS = "bcdfgkmpqvwxz"


def rules_of(data: Path, rules: RuleSet) -> RuleSet:
    """Return the rules with OCR and nothing else to find."""
    del data
    section = TextVisualRules(ocr=RegionOcrRules(), min_document_regions=1_000)
    return rules.model_copy(update={"text_visual": section})


def clean_samples(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield receipts with their regions as people transcribed them, and as OCR reads them; a group is a receipt.

    Raises:
        PreLabelError: The extra ``ocr`` is not installed.
    """
    images = _images(data)
    section = TextVisualRules(ocr=RegionOcrRules())
    for group, receipt in (*receipts(data), *labelled_receipts(data)):
        path = images.get(receipt.manifest.sample_id)
        if path is None or section.ocr is None:
            continue
        streams = tuple(
            stream.model_copy(update={"uri": path.resolve().as_uri()}) if stream.id == "image" else stream
            for stream in receipt.manifest.streams
        )
        manifest = receipt.manifest.model_copy(update={"streams": streams})
        labels = tuple(label for label in receipt.annotations if isinstance(label, Box))
        regions = regions_to_read(manifest, labels, section).get("image", [])
        texts = read_regions(path.read_bytes(), "image", regions, section.ocr)
        yield group, CheckSample(manifest, labels, region_texts=texts)


def _images(data: Path) -> Mapping[str, Path]:
    found = {f"sroie-{path.stem}": path for path in sorted((data / "sroie" / "img").glob("*.jpg"))}
    rows = data / WILDRECEIPT / "data.txt"
    if rows.exists():
        for page, line in enumerate(rows.read_text().splitlines()):
            path = data / "wildreceipt" / json.loads(line)["file_name"]
            if path.exists():
                found[f"wildreceipt-{page}"] = path
    return found


Change = Callable[[str, CheckSample, np.random.Generator], str | None]


def _changing(change: Change) -> Callable[..., Injected | None]:
    """Return an injection that changes the text of one region that can be changed."""

    def inject(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
        for at in rng.permutation(len(sample.annotations)):
            label = sample.annotations[at]
            text = change(str(label.attributes.get("text", "")), sample, rng)
            if text is not None:
                labels = list(sample.annotations)
                labels[at] = label.model_copy(update={"attributes": {**label.attributes, "text": text}})
                return replace(sample, annotations=tuple(labels)), frozenset({label.id})
        return None

    return inject


def _another_digit(text: str, sample: CheckSample, rng: np.random.Generator) -> str | None:
    del sample
    places = [at for at, letter in enumerate(text) if letter.isdigit()]
    if not places or not is_numeric(text):
        return None
    at = int(rng.choice(places))
    return f"{text[:at]}{(int(text[at]) + int(rng.integers(1, 10))) % 10}{text[at + 1 :]}"


def _other_letters(text: str, sample: CheckSample, rng: np.random.Generator) -> str | None:
    del sample
    places = [at for at, letter in enumerate(text) if letter.isalpha()]
    if len(places) < 4:
        return None
    letters = list(text)
    for at in rng.choice(places, size=len(places) // 2, replace=False):
        letters[at] = str(rng.choice([letter for letter in _WRONG_LETTERS if letter != letters[at].casefold()]))
    return "".join(letters)


def _of_another_region(text: str, sample: CheckSample, rng: np.random.Generator) -> str | None:
    own = fold_letters(text)
    others = sorted(
        {str(label.attributes.get("text", "")) for label in sample.annotations if label.attributes.get("text")}
    )
    others = [other for other in others if fold_letters(other) and fold_letters(other) != own]
    return str(rng.choice(others)) if own and others else None


FAULTS: tuple[LabelFault, ...] = (
    LabelFault(CHECK, "region_text_mismatch", _changing(_another_digit), name="OCR: one digit of an amount or date"),
    LabelFault(CHECK, "region_text_mismatch", _changing(_other_letters), name="OCR: half of the letters"),
    LabelFault(CHECK, "region_text_mismatch", _changing(_of_another_region), name="OCR: the text of another region"),
)
