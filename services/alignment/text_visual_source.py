"""The texts of a sample that describe its pictures, the taxonomy they are read with, and how findings are made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from services.alignment.sample import CheckSample
from services.contracts.findings import SEVERITY_ORDER, Cause, Finding, Measured, Severity, Suggestion, finding_id
from services.contracts.labels_language import EntitySpan, Summary
from services.contracts.labels_spatial import MetadataField, TextValue
from services.rules.rule_set import RuleSet
from services.rules.text_visual import TextVisualKind, TextVisualRules
from services.taxonomy.lookup import TaxonomyIndex
from services.taxonomy.taxonomy import AttributeRule, Taxonomy, TaxonomyClass

CHECK = "text_visual"
VISUAL = frozenset(("image", "video", "lidar", "radar"))
_CAPTIONS = frozenset(("caption", "description", "alt_text"))
_MAX_CLASSES = 5_000


@dataclass(frozen=True, slots=True)
class Source:
    """One text.

    Attributes:
        stream: The stream that holds it.
        text: What it says.
        annotation: The label that holds it, if it is none of the stream itself.
        picture: The only stream it describes; None for all.
        spans: Nouns that people marked: (first character, one past the last, class, label id).
    """

    stream: str
    text: str
    annotation: str | None = None
    picture: str | None = None
    spans: tuple[tuple[int, int, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes findings of one rule set.

    Attributes:
        rules: The rule set.
        section: Its section for this check.
    """

    rules: RuleSet
    section: TextVisualRules

    def make(
        self,
        kind: TextVisualKind,
        severity: Severity,
        message: str,
        *,
        streams: tuple[str, ...],
        annotations: tuple[str, ...] = (),
        frames: tuple[int, ...] = (),
        place: str = "",
        measured: Measured | None = None,
        cause: Cause | None = None,
        suggestion: Suggestion | None = None,
        explains: tuple[str, ...] = (),
        at_most: Severity = "critical",
    ) -> Finding:
        """Return a finding; its id does not depend on what was measured.

        ``at_most`` bounds the severity, that of the rule set too.
        """
        graveness = self.section.severities.get(kind, severity)
        return Finding(
            finding_id=finding_id(
                CHECK, kind, self.rules.id, streams=streams, annotations=annotations, frames=frames, place=place
            ),
            check=CHECK,
            kind=kind,
            severity=min(graveness, at_most, key=SEVERITY_ORDER.__getitem__),
            message=message[:2_000],
            measured=measured,
            streams=streams,
            annotations=annotations,
            frames=frames,
            cause=cause,
            rule=self.rules.reference,
            suggestion=suggestion,
            explains=explains,
        )


def sources_of(sample: CheckSample, section: TextVisualRules) -> Iterator[Source]:
    """Yield the texts that describe pictures: text streams, summaries and caption fields."""
    spans: dict[str, list[tuple[int, int, str, str]]] = {}
    for label in sample.annotations:
        if isinstance(label, EntitySpan):
            spans.setdefault(label.stream, []).append((label.start_char, label.end_char, label.label, label.id))
    modalities = {stream.id: stream.modality for stream in sample.manifest.streams}
    for stream in sample.manifest.streams:
        if stream.modality != "text" or (section.text_streams and stream.id not in section.text_streams):
            continue
        text = stream.inline if isinstance(stream.inline, str) else sample.texts.get(stream.id, "")
        if text.strip():
            yield Source(stream.id, text, spans=tuple(sorted(spans.get(stream.id, ()))))
    for label in sorted(sample.annotations, key=lambda item: item.id):
        text = ""
        if isinstance(label, Summary) and modalities.get(label.stream) not in ("audio", "text", None):
            text = label.text
        elif isinstance(label, MetadataField) and label.label.casefold() in _CAPTIONS:
            text = label.value.text if isinstance(label.value, TextValue) else ""
        if text.strip():
            picture = label.stream if modalities.get(label.stream) in VISUAL else None
            yield Source(label.stream, text, annotation=label.id, picture=picture)


def taxonomy_of(sample: CheckSample, section: TextVisualRules) -> Taxonomy | None:
    """Return the rule set's taxonomy, or one of the classes and values that labels of the sample carry."""
    if section.taxonomy is not None:
        return section.taxonomy
    hidden = {*section.text_attributes, *section.ocr_attributes}
    modalities = {stream.id: stream.modality for stream in sample.manifest.streams}
    classes: set[str] = set()
    values: dict[str, set[str]] = {}
    for label in sample.annotations:
        if modalities.get(label.stream) in VISUAL:
            classes.add(label.label)
            for name, value in label.attributes.items():
                if isinstance(value, str) and name not in hidden and 0 < len(value) <= 40:
                    values.setdefault(name, set()).add(value)
    if not classes:
        return None
    return Taxonomy(
        id="labels-of-the-sample",
        version=1,
        classes=tuple(TaxonomyClass(id=name) for name in sorted(classes)[:_MAX_CLASSES]),
        attributes=tuple(
            AttributeRule(name=name, values=tuple(sorted(found)[:1_000]))
            for name, found in sorted(values.items())[:200]
        ),
    )


def judged(index: TaxonomyIndex, section: TextVisualRules, class_id: str) -> bool:
    """Whether a class can be seen, and is labelled where it is seen."""
    modalities = index.modalities_of(class_id)
    if modalities and not modalities & VISUAL:
        return False
    return not section.labelled_classes or any(index.is_a(class_id, name) for name in section.labelled_classes)
