"""Recorded texts and pictures as samples: sentences about scenes, receipts, people, groceries."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from services.alignment.sample import CheckSample
from services.contracts.annotations import Annotation
from services.contracts.labels_language import EntitySpan, Relation
from services.contracts.labels_spatial import MetadataField, TextValue
from services.contracts.labels_visual import Box, ImageClassification
from services.contracts.manifest import SampleManifest, Stream
from services.taxonomy.taxonomy import AttributeRule, Taxonomy, TaxonomyClass

_COLOUR = AttributeRule(
    name="colour", values=("yellow", "black", "blue"), synonyms={"blue": ("#0099ff",), "yellow": ("golden",)}
)
_SHAPES = (
    TaxonomyClass(id="item", synonyms=("object", "block", "shape"), attributes=(_COLOUR,)),
    TaxonomyClass(id="square", parents=("item",)),
    TaxonomyClass(id="circle", parents=("item",)),
    TaxonomyClass(id="triangle", parents=("item",)),
    TaxonomyClass(id="person", synonyms=("pedestrian", "human")),
)
WILDRECEIPT = Path("wildreceipt/tests/data/kie_toy_dataset/wildreceipt")
_PANEL_OFFSET_PX = 150
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def taxonomy(data: Path) -> Taxonomy:
    """Return the classes of these recordings."""
    classes = {item.id: item for item in _SHAPES}
    for fine, coarse in _groceries(data):
        classes.setdefault(coarse, TaxonomyClass(id=coarse))
        if fine != coarse:
            classes.setdefault(fine, TaxonomyClass(id=fine, parents=(coarse,)))
    return Taxonomy(id="pictures", version=1, classes=tuple(classes.values()))


def sample_of(name: str, streams: Sequence[Stream], labels: Sequence[Annotation]) -> CheckSample:
    """Return a sample without assets."""
    manifest = SampleManifest(format="concord.sample/1", sample_id=name, project="bench", streams=tuple(streams))
    return CheckSample(manifest, tuple(labels))


def caption(text: str) -> Stream:
    """Return a text stream."""
    return Stream(id="caption", modality="text", inline=text)


def sentences(data: Path, truth: str) -> Iterator[tuple[str, CheckSample]]:
    """Yield scenes of three panels with a sentence that people found ``true`` or ``false``; groups are scenes."""
    path = data / "nlvr" / "dev" / "dev_subset.json"
    if not path.exists():
        return
    for number, row in enumerate(json.loads(path.read_bytes())):
        if row["label"] == truth:
            labels = [
                Box(
                    id=f"s-{panel}-{place}",
                    stream="image",
                    label=item["type"],
                    box=_panel_box(panel, item),
                    attributes={"colour": item["color"]},
                )
                for panel, items in enumerate(row["structured_rep"])
                for place, item in enumerate(items)
            ]
            streams = (Stream(id="image", modality="image", image_size_px=(400, 100)), caption(row["sentence"]))
            yield row["identifier"].split("-")[0], sample_of(f"nlvr-{number}", streams, labels)


def _panel_box(panel: int, item: dict[str, Any]) -> tuple[float, float, float, float]:
    x, y, size = panel * _PANEL_OFFSET_PX + item["x_loc"], item["y_loc"], item["size"]
    return float(x), float(y), float(x + size), float(y + size)


def receipts(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield receipts: the text regions on the image, the key fields as a record beside it."""
    for path in sorted((data / "sroie" / "key").glob("*.json")):
        labels: list[Annotation] = []
        lines = (data / "sroie" / "box" / f"{path.stem}.csv").read_text("utf-8", "replace").splitlines()
        for number, line in enumerate(line for line in lines if line.count(",") >= 8):
            parts = line.split(",", 8)
            x, y = sorted(map(float, parts[0:8:2])), sorted(map(float, parts[1:8:2]))
            labels.append(
                Box(
                    id=f"text-{number}", stream="image", label="text", box=(x[0], y[0], x[-1] + 1, y[-1] + 1),
                    attributes={"text": parts[8]},
                )
            )  # fmt: skip
        for name, value in json.loads(path.read_text()).items():
            labels.append(MetadataField(id=f"key-{name}", stream="key", label=name, value=TextValue(text=value)))
        streams = (Stream(id="image", modality="image"), Stream(id="key", modality="record"))
        yield f"receipt-{path.stem}", sample_of(f"sroie-{path.stem}", streams, labels)


def labelled_receipts(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield receipts whose values are regions, each linked to a field of the record that repeats it."""
    folder = data / WILDRECEIPT
    if not (folder / "data.txt").exists():
        return
    lines = (folder / "class_list.txt").read_text().splitlines()
    names = {number: name.strip() for number, name in (line.split(" ", 1) for line in lines)}
    for page, line in enumerate((folder / "data.txt").read_text().splitlines()):
        row = json.loads(line)
        labels: list[Annotation] = []
        for number, item in enumerate(row["annotations"]):
            x, y = sorted(item["box"][0::2]), sorted(item["box"][1::2])
            name = names[str(item["label"])]
            labels.append(
                Box(
                    id=f"text-{number}", stream="image", label=name, box=(x[0], y[0], x[-1], y[-1]),
                    attributes={"text": item["text"]},
                )
            )  # fmt: skip
            if name.endswith("_value") and item["text"]:
                labels.append(
                    MetadataField(id=f"key-{number}", stream="key", label=name, value=TextValue(text=item["text"]))
                )
                labels.append(
                    Relation(
                        id=f"link-{number}", stream="key", label="read_at", from_id=f"key-{number}",
                        to_id=f"text-{number}",
                    )
                )  # fmt: skip
        streams = (Stream(id="image", modality="image"), Stream(id="key", modality="record"))
        yield f"wild-{page}", sample_of(f"wildreceipt-{page}", streams, labels)


def people(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield photos of people with a sentence that counts them, its phrase linked to each person."""
    path = data / "coco_mmpose" / "tests" / "data" / "coco" / "test_coco.json"
    if not path.exists():
        return
    content = json.loads(path.read_bytes())
    for image in content["images"]:
        labels: list[Annotation] = []
        for item in content["annotations"]:
            if item["image_id"] == image["id"]:
                x, y, width, height = item["bbox"]
                name = f"box-{item['id']}"
                labels.append(
                    Box(
                        id=name, stream="image", label="person", box=(x, y, x + width, y + height),
                        ignore=bool(item["iscrowd"]),
                    )
                )  # fmt: skip
        number = len(labels)
        if not number or number >= len(_NUMBERS):
            continue
        noun = "person" if number == 1 else "people"
        text = f"{_NUMBERS[number].capitalize()} {noun} in the photo."
        start = text.index(noun)
        labels.append(
            EntitySpan(
                id="phrase", stream="caption", label="person", start_char=start, end_char=start + len(noun), text=noun
            )
        )
        labels.extend(
            Relation(id=f"link-{label.id}", stream="caption", label="shows", from_id="phrase", to_id=label.id)
            for label in tuple(labels[:-1])
        )
        streams = (
            Stream(id="image", modality="image", image_size_px=(image["width"], image["height"])),
            caption(text),
        )
        yield f"photo-{image['id']}", sample_of(f"coco-{image['id']}", streams, labels)


def products(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield the class of a product's picture beside the shop's description of it."""
    root = data / "grocery_store" / "dataset"
    if not (root / "classes.csv").exists():
        return
    with (root / "classes.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            path = root / row["Product Description Path (str)"].lstrip("/")
            if path.exists():
                name = row["Class Name (str)"]
                labels = (ImageClassification(id="class", stream="image", label=name),)
                text = path.read_text("utf-8", "replace").strip("\ufeff \n")
                streams = (Stream(id="image", modality="image"), caption(text))
                yield f"product-{name}", sample_of(f"grocery-{name}", streams, labels)


def _groceries(data: Path) -> list[tuple[str, str]]:
    path = data / "grocery_store" / "dataset" / "classes.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [(row["Class Name (str)"], row["Coarse Class Name (str)"]) for row in csv.DictReader(file)]
