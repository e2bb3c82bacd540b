"""Known disagreements between labels and records, put into shelf photos and support chats."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from infra.bench.detection.catalogue import chat_samples, product_classes, shelf_samples
from infra.bench.detection.fault import Inject, Injected, LabelFault
from services.alignment.record_values import convert, read_quantity
from services.alignment.sample import CheckSample
from services.contracts.annotations import Annotation
from services.contracts.labels_language import EntitySpan
from services.rules.record_agreement import (
    EqualComparison,
    OneOfComparison,
    RecordAgreementRules,
    RecordBinding,
    TextComparison,
    ToleranceComparison,
)
from services.rules.rule_set import RuleSet

CHECK = "record_agreement"
_CRM = {
    "customer_name": "personal.customer_name", "email": "personal.email", "phone": "personal.phone",
    "username": "personal.username", "order_id": "order.order_id",
}  # fmt: skip


def rules_of(data: Path, rules: RuleSet) -> RuleSet:
    """Bind classes to the catalogue's category, attributes to its fields, and entities to the customer's record."""
    allowed = {fine: (coarse,) for fine, coarse in product_classes(data).items()}
    shelf = {"label_kinds": ("image_classification",), "records": ("catalogue",)}
    bindings = [
        RecordBinding(
            id="category", fields=("category",), comparison=OneOfComparison(allowed=allowed or {"-": ("-",)}), **shelf
        ),
        RecordBinding(
            id="origin", fields=("origin",), value="attributes.origin", comparison=EqualComparison(),
            required_in_record=False, **shelf,
        ),
        RecordBinding(
            id="maker", fields=("maker",), value="attributes.maker", comparison=TextComparison(min_similarity=0.85),
            required_in_record=False, **shelf,
        ),
        RecordBinding(
            id="size-mass", fields=("size",), value="attributes.size", comparison=ToleranceComparison(relative=0.05),
            required_in_record=False, **shelf,
        ),
        *(
            RecordBinding(
                id=name, label_kinds=("entity_span",), labels=(name,), value="text", records=("crm",), fields=(field,),
                comparison=TextComparison(min_similarity=1.0),
            )
            for name, field in _CRM.items()
        ),
        RecordBinding(
            id="subflow", label_kinds=("intent",), records=("crm",), fields=("subflow",),
            comparison=TextComparison(min_similarity=0.9, contains=True),
        ),
    ]  # fmt: skip
    section = RecordAgreementRules(bindings=tuple(bindings))
    return rules.model_copy(update={"record_agreement": section})


def clean_samples(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield shelf photos with their catalogue page (group: product), and chats with their record (group: chat)."""
    yield from shelf_samples(data)
    yield from chat_samples(data)


def _changing(change: Callable[[Annotation, np.random.Generator], Annotation | None]) -> Inject:
    def inject(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
        for index in rng.permutation(len(sample.annotations)):
            changed = change(sample.annotations[index], rng)
            if changed is not None:
                labels = list(sample.annotations)
                labels[index] = changed
                return replace(sample, annotations=tuple(labels)), frozenset({changed.id})
        return None

    return inject


def _attribute(name: str, values: tuple[str, ...]) -> Inject:
    def change(label: Annotation, rng: np.random.Generator) -> Annotation | None:
        others = [value for value in values if value.casefold() != str(label.attributes.get(name)).casefold()]
        if name not in label.attributes:
            return None
        return label.model_copy(update={"attributes": {**label.attributes, name: others[rng.integers(len(others))]}})

    return _changing(change)


def _other_product(label: Annotation, rng: np.random.Generator) -> Annotation | None:
    if label.type != "image_classification":
        return None
    coarse = {"Banana": "Avocado", "Lemon": "Lime"}.get(label.label, "Banana")
    return label.model_copy(update={"label": coarse})


def _wrong_unit(label: Annotation, rng: np.random.Generator) -> Annotation | None:
    found = read_quantity(label.attributes.get("size", ""))
    pairs = {"l": "floz", "g": "oz", "kg": "lb"}
    if found is None or found.unit not in pairs:
        return None
    # The number is right in the other unit, and the unit written is the record's.
    other = convert(found.value, found.unit, pairs[found.unit])
    return label.model_copy(update={"attributes": {**label.attributes, "size": f"{other:.4g} {found.unit}"}})


def _one_character(label: Annotation, rng: np.random.Generator) -> Annotation | None:
    if not isinstance(label, EntitySpan) or not label.text:
        return None
    text = label.text
    places = [index for index, character in enumerate(text) if character.isalnum()]
    at = places[rng.integers(len(places))]
    pool = "0123456789" if text[at].isdigit() else "abcdefghijklmnopqrstuvwxyz"
    new = pool.replace(text[at].lower(), "")[rng.integers(len(pool) - 1)]
    return label.model_copy(update={"text": text[:at] + new + text[at + 1 :]})


def _two_digits_swapped(label: Annotation, rng: np.random.Generator) -> Annotation | None:
    if not isinstance(label, EntitySpan) or not label.text:
        return None
    text = label.text
    places = [i for i in range(len(text) - 1) if text[i].isdigit() and text[i + 1].isdigit() and text[i] != text[i + 1]]
    if not places:
        return None
    at = places[rng.integers(len(places))]
    return label.model_copy(update={"text": text[:at] + text[at + 1] + text[at] + text[at + 2 :]})


COUNTRIES = ("Sweden", "Italy", "Spain", "Ecuador", "Argentina", "Finland", "Netherlands", "Brazil", "Kenya")
FAULTS = (
    LabelFault(CHECK, "field_mismatch", _changing(_other_product), name="another product"),
    LabelFault(CHECK, "field_mismatch", _attribute("origin", COUNTRIES), name="another country"),
    LabelFault(CHECK, "field_mismatch", _attribute("maker", ("NESTLE", "DANONE", "MEGGLE")), name="another maker"),
    LabelFault(CHECK, "field_mismatch", _attribute("size", ("77 g", "7 l", "3.3kg")),
               also=frozenset({"unit_mismatch"}), name="another size"),
    LabelFault(CHECK, "unit_mismatch", _changing(_wrong_unit), name="right number, wrong unit"),
    LabelFault(CHECK, "field_mismatch", _changing(_one_character), name="one character"),
    LabelFault(CHECK, "field_mismatch", _changing(_two_digits_swapped), name="two digits swapped"),
)  # fmt: skip
