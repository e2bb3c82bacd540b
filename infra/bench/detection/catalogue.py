"""Samples with records: products on a shelf with their catalogue page, and support chats with the customer's record."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.alignment.sample import CheckSample
from services.contracts.annotations import Annotation
from services.contracts.base import Scalar
from services.contracts.labels_language import EntitySpan, Intent
from services.contracts.labels_visual import ImageClassification
from services.contracts.manifest import SampleManifest, Stream

_PLACE = re.compile(r"^(Country and volume|Manufacturer and volume|Country|Manufacturing country):\s*(.*)$")


def product_classes(data: Path) -> dict[str, str]:
    """Return fine class → coarse class; empty where the folder lacks them."""
    path = data / "grocery_store/dataset/classes.csv"
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        return {row["Class Name (str)"]: row["Coarse Class Name (str)"] for row in csv.DictReader(file)}


def shelf_samples(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield one sample a photo whose product has a catalogue page; a group is a product.

    The label is the published class; origin and size are filled in as an annotator would who reads the package.
    """
    root = data / "grocery_store/dataset"
    classes = product_classes(data)
    pages = {path.parent.name: path for path in sorted(root.rglob("*_Information.txt"))}
    test_list = root / "test.txt"
    names = list(classes)
    for line in test_list.read_text().splitlines() if test_list.is_file() else ():
        uri, fine, _ = (part.strip() for part in line.split(","))
        product = names[int(fine)]
        if product not in pages or not (root / uri).is_file():
            continue
        page = _page(pages[product].read_text(encoding="utf-8-sig"))
        record: dict[str, Scalar] = {"category": classes[product], **page}
        label = ImageClassification(
            id=f"{Path(uri).stem}-class",
            stream="shelf",
            label=product,
            attributes={key: str(value).title() if key == "origin" else value for key, value in page.items()},
        )
        streams = (
            Stream(id="shelf", modality="image"),
            Stream(id="catalogue", modality="record", inline=record),
        )
        yield product, CheckSample(_manifest(Path(uri).stem, streams), (label,))


def _page(text: str) -> dict[str, Scalar]:
    found: dict[str, Scalar] = {}
    for line in text.splitlines():
        match = _PLACE.match(line.strip())
        if match is None:
            continue
        what, values = match[1].lower(), [part.strip() for part in match[2].split(",")]
        if "volume" in what and len(values) > 1:
            found["size"] = values[-1]
        if "country" in what:
            found["origin"] = {"Sverige": "Sweden"}.get(values[0], values[0])
        elif "manufacturer" in what:
            found["maker"] = values[0]
    return found


def chat_samples(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield one sample a support chat: what the agent typed into the system, and the customer's record."""
    path = data / "abcd_support/data/abcd_sample.json"
    for chat in json.loads(path.read_text()) if path.is_file() else ():
        text = "\n".join(f"{who}: {said}" for who, said in chat["original"])
        labels: list[Annotation] = [
            Intent(id="intent", stream="chat", label=re.sub(r"_\d+$", "", chat["scenario"]["subflow"]))
        ]
        for action, value in _typed(chat):
            start = max(0, text.lower().find(value))
            name = _what_is(action, value)
            labels.append(
                EntitySpan(
                    id=f"e{len(labels)}",
                    stream="chat",
                    label=name,
                    start_char=start,
                    end_char=start + len(value),
                    text=value,
                )
            )
        streams = (
            Stream(id="chat", modality="text", inline=text),
            Stream(id="crm", modality="record", inline=json.dumps(chat["scenario"])),
        )
        name = f"abcd-{chat['convo_id']}"
        yield name, CheckSample(_manifest(name, streams), tuple(labels))


def _typed(chat: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for turn in chat["delexed"]:
        action, values = turn["targets"][2], turn["targets"][3]
        if action in ("pull-up-account", "validate-purchase", "enter-details"):
            yield from ((action, value) for value in values)


def _what_is(action: str, value: str) -> str:
    if action == "pull-up-account":
        return "customer_name"
    if "@" in value:
        return "email"
    if value.startswith("("):
        return "phone"
    return "order_id" if value.isdigit() else "username"


def _manifest(name: str, streams: tuple[Stream, ...]) -> SampleManifest:
    return SampleManifest(format="concord.sample/1", sample_id=name, project="bench", streams=streams)
