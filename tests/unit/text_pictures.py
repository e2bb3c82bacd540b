"""Small samples with a text and labelled pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.alignment.sample import CheckOutcome, CheckSample
from services.alignment.text_visual import check_text_visual
from services.contracts.annotations import Annotation
from services.contracts.labels_visual import Box
from services.contracts.manifest import SampleManifest, Stream
from services.rules.rule_set import RuleSet
from services.rules.text_visual import TextVisualRules
from services.taxonomy.taxonomy import AttributeRule, Taxonomy, TaxonomyClass

COLOUR = AttributeRule(name="colour", values=("red", "blue", "gray"), synonyms={"gray": ("grey", "silver")})
STREET = Taxonomy(
    id="street",
    version=1,
    classes=(
        TaxonomyClass(id="animal"),
        TaxonomyClass(id="dog", parents=("animal",), synonyms=("puppy",)),
        TaxonomyClass(id="cat", parents=("animal",)),
        TaxonomyClass(id="person", synonyms=("man", "woman", "pedestrian")),
        TaxonomyClass(id="vehicle", attributes=(COLOUR,)),
        TaxonomyClass(id="car", parents=("vehicle",)),
        TaxonomyClass(id="bus", parents=("vehicle",)),
        TaxonomyClass(id="traffic light"),
        TaxonomyClass(id="opinion", modalities=("text",)),
    ),
)


def box(name: str, label: str, place: int = 0, **fields: Any) -> Box:
    """Return a box of 20 x 20 px; ``place`` moves it."""
    left = 10.0 + 30 * place
    return Box(id=name, stream="camera", label=label, box=(left, 10.0, left + 20, 30.0), **fields)


def boxes(**counts: int) -> list[Annotation]:
    """Return so many boxes of each class."""
    names = [(label, number) for label, count in counts.items() for number in range(count)]
    return [box(f"{label}-{number}", label, place) for place, (label, number) in enumerate(names)]


def sample(text: str | None, labels: Sequence[Annotation], **more: Any) -> CheckSample:
    """Return a sample with a camera image of 640 x 480 px, and a text stream if there is a text."""
    streams = [
        Stream(id="camera", modality="image", image_size_px=(640, 480)),
        Stream(id="record", modality="record"),
    ]
    if text is not None:
        streams.append(Stream(id="caption", modality="text", inline=text))
    manifest = SampleManifest(format="concord.sample/1", sample_id="s", project="p", streams=tuple(streams))
    return CheckSample(manifest, tuple(labels), **more)


def rules(**fields: Any) -> RuleSet:
    """Return rules with the street taxonomy."""
    return RuleSet(id="r", version=1, text_visual=TextVisualRules(**{"taxonomy": STREET, **fields}))


def check(text: str | None, labels: Sequence[Annotation], **fields: Any) -> CheckOutcome:
    """Run the check."""
    return check_text_visual(sample(text, labels), rules(**fields))


def kinds(outcome: CheckOutcome) -> Mapping[str, str]:
    """Return the severities by kind."""
    return {finding.kind: finding.severity for finding in outcome.findings}
