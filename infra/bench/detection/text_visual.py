"""Known faults between texts and pictures, put into recorded sentences, receipts, photos and products."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from infra.bench.detection.fault import Injected, LabelFault
from infra.bench.detection.text_recordings import labelled_receipts, people, products, receipts, sentences, taxonomy
from services.alignment.sample import CheckSample
from services.contracts.annotations import Annotation
from services.contracts.labels_language import Relation
from services.contracts.labels_spatial import MetadataField, TextValue
from services.contracts.labels_visual import Box
from services.rules.rule_set import RuleSet
from services.rules.text_visual import TextVisualRules

CHECK = "text_visual"
_SHAPES = ("square", "circle", "triangle", "person")
_COLOURS = {"Yellow": "yellow", "Black": "black", "#0099ff": "blue"}


def rules_of(data: Path, rules: RuleSet) -> RuleSet:
    """Return the rules with the taxonomy of these recordings."""
    section = rules.text_visual or TextVisualRules()
    return rules.model_copy(update={"text_visual": section.model_copy(update={"taxonomy": taxonomy(data)})})


def clean_samples(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield scenes with true sentences, receipts, photos of people, and products."""
    yield from sentences(data, "true")
    yield from receipts(data)
    yield from labelled_receipts(data)
    yield from people(data)
    yield from products(data)


def _text(sample: CheckSample) -> str:
    return next((s.inline for s in sample.manifest.streams if s.id == "caption" and isinstance(s.inline, str)), "")


def _saying(sample: CheckSample, text: str) -> CheckSample:
    streams = tuple(
        stream.model_copy(update={"inline": text}) if stream.id == "caption" else stream
        for stream in sample.manifest.streams
    )
    return replace(sample, manifest=sample.manifest.model_copy(update={"streams": streams}))


def _with(sample: CheckSample, *labels: Annotation) -> CheckSample:
    changed = {label.id: label for label in labels}
    kept = tuple(changed.pop(label.id, label) for label in sample.annotations)
    return replace(sample, annotations=(*kept, *changed.values()))


def _boxes(sample: CheckSample) -> list[Box]:
    if not _text(sample):
        return []
    return [label for label in sample.annotations if isinstance(label, Box)]


def _pick(items: list[str], rng: np.random.Generator) -> str:
    return items[int(rng.integers(len(items)))]


def _claim(make: Callable[[Counter[str], np.random.Generator], str | None]) -> Callable[..., Injected | None]:
    """Return an injection that adds a sentence about the labelled classes."""

    def inject(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
        boxes = _boxes(sample)
        said = make(Counter(box.label for box in boxes), rng) if boxes else None
        return None if said is None else (_saying(sample, f"{_text(sample).rstrip('. ')}. {said}"), frozenset())

    return inject


def _mention_absent(seen: Counter[str], rng: np.random.Generator) -> str | None:
    absent = [name for name in _SHAPES if name not in seen]
    return f"There is a {_pick(absent, rng)}." if absent else None


def _deny(seen: Counter[str], rng: np.random.Generator) -> str:
    name = _pick(sorted(seen), rng)
    return f"There are no {'people' if name == 'person' else name + 's'}."


def _count_more(seen: Counter[str], rng: np.random.Generator) -> str:
    name = _pick(sorted(seen), rng)
    return f"There are {seen[name] + int(rng.integers(1, 4)) + 1} {'people' if name == 'person' else name + 's'}."


def _other_colour(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    seen: dict[str, set[str]] = {}
    for box in _boxes(sample):
        if str(box.attributes.get("colour")) in _COLOURS:
            seen.setdefault(box.label, set()).add(_COLOURS[str(box.attributes["colour"])])
    options = [f"{c} {name}" for name, found in sorted(seen.items()) for c in _COLOURS.values() if c not in found]
    if not options:
        return None
    return _saying(sample, f"{_text(sample).rstrip('. ')}. There is a {_pick(options, rng)}."), frozenset()


def _lose_person(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    return _another_number(sample, rng, more=False)


def _add_person(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    return _another_number(sample, rng, more=True)


def _another_number(sample: CheckSample, rng: np.random.Generator, *, more: bool) -> Injected | None:
    boxes = [box for box in _boxes(sample) if box.label == "person"]
    if len(boxes) < 2:
        return None
    box = boxes[int(rng.integers(len(boxes)))]
    if more:
        moved = tuple(edge + shift for edge, shift in zip(box.box, rng.uniform(5, 40, 4).cumsum(), strict=True))
        return _with(sample, box.model_copy(update={"id": "added", "box": moved})), frozenset({"added"})
    kept = tuple(
        label
        for label in sample.annotations
        if label.id != box.id and not (isinstance(label, Relation) and label.to_id == box.id)
    )
    return replace(sample, annotations=kept), frozenset()


def _silent_about(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    boxes = [box for box in _boxes(sample) if box.label == "person"]
    if not boxes:
        return None
    size = sample.manifest.stream("image").image_size_px or (640, 480)
    share = float(rng.uniform(0.35, 0.6))  # of each side, so 12 % to 36 % of the image
    added = Box(id="added", stream="image", label="Banana", box=(1.0, 1.0, 1 + size[0] * share, 1 + size[1] * share))
    return _with(sample, added), frozenset({"added"})


def _link_to_another(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    links = [label for label in sample.annotations if isinstance(label, Relation) and label.from_id == "phrase"]
    if not links:
        return None
    link = links[int(rng.integers(len(links)))]
    other = Box(id="added", stream="image", label="Banana", box=(2.0, 2.0, 22.0, 22.0))
    return _with(sample, other, link.model_copy(update={"to_id": "added"})), frozenset({link.id})


_FOREIGN = (
    "Fresh bananas, three lemons and an avocado from the market.",
    "There are two pineapples, one mango and a cabbage.",
)


def _another_text(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    if not _text(sample) or any(label.label in ("Banana", "Lemon") for label in sample.annotations):
        return None
    return _saying(sample, _FOREIGN[int(rng.integers(len(_FOREIGN)))]), frozenset()


def _misread(numeric: bool) -> Callable[..., Injected | None]:
    """Return an injection that changes one digit, or half of the letters, of a field beside a page."""

    def inject(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
        fields = [
            label
            for label in sample.annotations
            if isinstance(label, MetadataField)
            and isinstance(label.value, TextValue)
            and (label.label in ("date", "total") if numeric else len(label.value.text) >= 8)
        ]
        if not fields:
            return None
        field = fields[int(rng.integers(len(fields)))]
        text = list(field.value.text) if isinstance(field.value, TextValue) else []
        places = [at for at, letter in enumerate(text) if (letter.isdigit() if numeric else letter.isalpha())]
        if not places:
            return None
        for at in rng.choice(places, size=1 if numeric else max(len(places) // 2, 1), replace=False):
            choices = "0123456789" if numeric else "bcdfgkmpqvwxz"
            text[at] = _pick([letter for letter in choices if letter != text[at].casefold()], rng)
        changed = field.model_copy(update={"value": TextValue(text="".join(text))})
        return _with(sample, changed), frozenset({field.id})

    return inject


FAULTS: tuple[LabelFault, ...] = (
    LabelFault(CHECK, "mentioned_not_seen", _claim(_mention_absent), name="a class that is not there"),
    LabelFault(CHECK, "mentioned_not_seen", _another_text, name="the text of another picture"),
    LabelFault(CHECK, "seen_not_mentioned", _silent_about),
    LabelFault(CHECK, "count_mismatch", _claim(_count_more), name="more than there are"),
    LabelFault(CHECK, "count_mismatch", _lose_person, name="a box is missing"),
    LabelFault(CHECK, "count_mismatch", _add_person, name="a box too many"),
    LabelFault(CHECK, "attribute_mismatch", _other_colour),
    LabelFault(CHECK, "negation_conflict", _claim(_deny)),
    LabelFault(CHECK, "grounding_mismatch", _link_to_another),
    LabelFault(CHECK, "region_text_mismatch", _misread(numeric=True), name="one digit of a date or total"),
    LabelFault(CHECK, "region_text_mismatch", _misread(numeric=False), name="half of the letters"),
)
