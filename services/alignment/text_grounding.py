"""Phrases of a text that are linked to boxes: does the box show what the phrase names?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from services.alignment.sample import CheckSample
from services.alignment.text_mentions import MentionReader
from services.alignment.text_visual_source import Maker
from services.alignment.visual_evidence import Instance, instances_of, stated
from services.contracts.findings import Finding, LabelPatch, Suggestion
from services.contracts.labels_language import EntitySpan, Relation
from services.taxonomy.lookup import TaxonomyIndex


def grounding_findings(
    maker: Maker, sample: CheckSample, index: TaxonomyIndex, reader: MentionReader
) -> Iterator[Finding]:
    """Yield the links from a phrase to a label of another class, of another attribute, or to nothing.

    A link is a relation between an ``entity_span`` and a label in a picture, in either direction, or an
    ``object_id`` that both carry.
    """
    spans = {label.id: label for label in sample.annotations if isinstance(label, EntitySpan)}
    seen = {instance.label.id: instance for instance in instances_of(sample, index)}
    known = {label.id for label in sample.annotations}
    pictures: dict[tuple[str, int | None], list[Instance]] = {}
    for instance in seen.values():
        pictures.setdefault((instance.label.stream, instance.label.frame), []).append(instance)
    linked: set[tuple[str, str]] = set()
    for relation in sorted((x for x in sample.annotations if isinstance(x, Relation)), key=lambda x: x.id):
        wanted = maker.section.grounding_relations
        if wanted and relation.label not in wanted:
            continue
        ends = (relation.from_id, relation.to_id)
        span = next((spans[end] for end in ends if end in spans), None)
        if span is None:
            continue
        missing = [end for end in ends if end not in known]
        if missing:
            yield _missing(maker, relation, span, missing[0])
        target = next((seen[end] for end in ends if end in seen), None)
        if target is not None and (span.id, target.label.id) not in linked:
            linked.add((span.id, target.label.id))
            yield from _judge(maker, sample, index, reader, span, target, pictures, relation)
    by_object: dict[str, list[Instance]] = {}
    for instance in seen.values():
        if instance.label.object_id is not None:
            by_object.setdefault(instance.label.object_id, []).append(instance)
    for span in sorted(spans.values(), key=lambda item: item.id):
        for instance in by_object.get(span.object_id or "", ()):
            if (span.id, instance.label.id) not in linked:
                yield from _judge(maker, sample, index, reader, span, instance, pictures, None)


def _judge(
    maker: Maker,
    sample: CheckSample,
    index: TaxonomyIndex,
    reader: MentionReader,
    span: EntitySpan,
    instance: Instance,
    pictures: Mapping[tuple[str, int | None], Sequence[Instance]],
    relation: Relation | None,
) -> Iterator[Finding]:
    phrase = _phrase(sample, span)
    classes = index.classes_of(span.label) or tuple(sorted(reader.named(phrase)))
    fault = _fault(index, reader, classes, phrase, instance)
    if not fault:
        return
    fitting = [
        other
        for other in pictures[instance.label.stream, instance.label.frame]
        if not _fault(index, reader, classes, phrase, other) and other.classes
    ]
    suggestion = None
    if relation is not None and len(fitting) == 1:
        target = fitting[0].label.id
        side = "to_id" if relation.to_id == instance.label.id else "from_id"
        suggestion = Suggestion(
            summary=f"Link the phrase to {target}, the only label that fits it.",
            patch=LabelPatch(upsert=(relation.model_copy(update={side: target}),)),
        )
    label = instance.label
    yield maker.make(
        "grounding_mismatch",
        "major",
        f"The phrase “{phrase[:80] or span.label}” is linked to {label.type} {label.id} of class {label.label}: "
        f"{fault}.",
        streams=tuple(dict.fromkeys((span.stream, label.stream))),
        annotations=tuple(sorted({span.id, label.id, *([relation.id] if relation else [])})),
        frames=(label.frame,) if label.frame is not None else (),
        suggestion=suggestion,
    )


def _fault(
    index: TaxonomyIndex, reader: MentionReader, classes: tuple[str, ...], phrase: str, instance: Instance
) -> str:
    if classes and instance.classes:
        if not any(index.related(one, other) for one in classes for other in instance.classes):
            return f"the phrase names {' or '.join(classes)}"
    elif classes or instance.classes:
        return ""  # one of the two is in no taxonomy, so that they can not be compared
    for name, values in sorted(reader.attributes_in(phrase).items()):
        for one in instance.classes:
            rule = index.attributes_of(one).get(name)
            value = stated(instance.label, rule) if rule is not None else None
            if value is not None and value not in values:
                return f"the phrase says {name} {' or '.join(sorted(map(str, values)))}, the label says {value}"
    return ""


def _missing(maker: Maker, relation: Relation, span: EntitySpan, missing: str) -> Finding:
    return maker.make(
        "grounding_mismatch",
        "major",
        f"The relation {relation.id} links the phrase {span.id} to {missing}, and there is no such label.",
        streams=tuple(dict.fromkeys((span.stream, relation.stream))),
        annotations=tuple(sorted((relation.id, span.id))),
        place=missing,
    )


def _phrase(sample: CheckSample, span: EntitySpan) -> str:
    if span.text is not None:
        return span.text
    for stream in sample.manifest.streams:
        if stream.id == span.stream:
            text = stream.inline if isinstance(stream.inline, str) else sample.texts.get(stream.id, "")
            return text[span.start_char : span.end_char]
    return ""
