"""Text that labels state beside the text that was read in the regions of an image.

Three comparisons: a region's text with what OCR read in it, regions of two authors over the same place, and a
record's fields with the whole page. Letters are compared without case, spaces and punctuation; numbers and dates
as numbers and dates, where one wrong digit is another value. A misspelt word is a minor finding, because readers
of print make such errors all the time; another word is a major one.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from services.alignment.matching import iou_matrix
from services.alignment.page_text import Page, fold_letters, is_numeric, same_value
from services.alignment.sample import CheckSample
from services.alignment.text_visual_source import Maker
from services.alignment.visual_evidence import extent_px
from services.contracts.annotations import Annotation
from services.contracts.findings import Finding, LabelPatch, Measured, Severity, Suggestion
from services.contracts.label_base import BoxPx
from services.contracts.labels_language import Relation
from services.contracts.labels_spatial import MetadataField, QuantityValue, TextValue, TimestampValue
from services.rules.text_visual import TextVisualRules

_PAGE_MODALITIES = frozenset(("image", "video", "text"))
_RECORDS = frozenset(("record", "metadata", "text"))


@dataclass(frozen=True, slots=True)
class Region:
    """A label in an image that states the text inside it."""

    label: Annotation
    box: BoxPx
    text: str

    @property
    def author(self) -> str:
        """Who read it; empty if unknown."""
        return self.label.author.id if self.label.author else ""


def regions_of(sample: CheckSample, section: TextVisualRules) -> list[Region]:
    """Return the regions with text, by label id."""
    found = []
    for label in sorted(sample.annotations, key=lambda item: item.id):
        box = extent_px(label)
        text = text_in(label, section.text_attributes) or text_in(label, section.ocr_attributes)
        if box is not None and text:
            found.append(Region(label, box, text))
    return found


def region_text_findings(maker: Maker, sample: CheckSample, regions: Sequence[Region]) -> Iterator[Finding]:
    """Yield where two statements of one text disagree."""
    yield from _against_ocr(maker, sample)
    yield from _of_two_authors(maker, regions)
    linked = yield from _linked_fields(maker, sample, regions)
    yield from _fields_of_pages(maker, sample, regions, linked)


def text_in(label: Annotation, names: Sequence[str]) -> str:
    """Return the first of the attributes ``names`` that states a text; empty if none does."""
    for name in names:
        value = label.attributes.get(name)
        if value is not None and not isinstance(value, bool) and str(value).strip():
            return str(value)
    return ""


def _against_ocr(maker: Maker, sample: CheckSample) -> Iterator[Finding]:
    section = maker.section
    for label in sorted(sample.annotations, key=lambda item: item.id):
        said, read = text_in(label, section.text_attributes), text_in(label, section.ocr_attributes)
        if said and read and (fault := same_value(said, read)) is not None:
            yield _mismatch(
                maker,
                f"The region {label.id} is labelled “{said[:80]}”, and OCR reads “{read[:80]}”.",
                fault,
                numeric=is_numeric(said),
                streams=(label.stream,),
                annotations=(label.id,),
                frames=(label.frame,) if label.frame is not None else (),
                place="ocr",
            )


def _of_two_authors(maker: Maker, regions: Sequence[Region]) -> Iterator[Finding]:
    pages: dict[tuple[str, int | None], list[Region]] = {}
    for region in regions:
        if region.author:
            pages.setdefault((region.label.stream, region.label.frame), []).append(region)
    for (stream, frame), page in sorted(pages.items(), key=str):
        if len({region.author for region in page}) < 2:
            continue
        first = min(region.author for region in page)
        own = [region for region in page if region.author == first]
        others = [region for region in page if region.author != first]
        own_px = np.array([region.box for region in own], dtype=np.float64)
        for other in others:  # one row at a time keeps memory small
            overlaps = iou_matrix(np.array([other.box], dtype=np.float64), own_px)[0]
            best = int(overlaps.argmax())
            if overlaps[best] < maker.section.region_iou:
                continue
            fault = same_value(own[best].text, other.text)
            if fault is not None:
                yield _mismatch(
                    maker,
                    f"{own[best].author} reads “{own[best].text[:80]}” where {other.author} reads “{other.text[:80]}”.",
                    fault,
                    numeric=is_numeric(own[best].text),
                    streams=(stream,),
                    annotations=tuple(sorted((own[best].label.id, other.label.id))),
                    frames=(frame,) if frame is not None else (),
                    place="authors",
                )


def _linked_fields(
    maker: Maker, sample: CheckSample, regions: Sequence[Region]
) -> Generator[Finding, None, frozenset[str]]:
    """Yield fields whose linked region says something else; return the ids of all linked fields."""
    fields = {label.id: label for label in sample.annotations if isinstance(label, MetadataField)}
    by_id = {region.label.id: region for region in regions}
    links: dict[str, list[Region]] = {}
    for relation in sorted((x for x in sample.annotations if isinstance(x, Relation)), key=lambda x: x.id):
        for one, other in ((relation.from_id, relation.to_id), (relation.to_id, relation.from_id)):
            if one in fields and other in by_id:
                links.setdefault(one, []).append(by_id[other])
    by_object: dict[str, list[Region]] = {}
    for region in regions:
        if region.label.object_id is not None:
            by_object.setdefault(region.label.object_id, []).append(region)
    for field in fields.values():
        if field.object_id in by_object and field.id not in links:
            links[field.id] = by_object[field.object_id]
    for field_id, linked in sorted(links.items()):
        value = _value(fields[field_id])
        fault = Page([(region.box, region.text) for region in linked]).missing(value) if value else None
        if fault is not None:
            shown = " ".join(region.text for region in linked)
            yield _mismatch(
                maker,
                f"The field {fields[field_id].label} is “{value[:80]}”, and its region reads “{shown[:80]}”.",
                fault,
                numeric=is_numeric(value),
                streams=tuple(dict.fromkeys((fields[field_id].stream, linked[0].label.stream))),
                annotations=tuple(sorted({field_id, *(region.label.id for region in linked)})),
                place="link",
            )
    return frozenset(links)


def _fields_of_pages(
    maker: Maker, sample: CheckSample, regions: Sequence[Region], linked: frozenset[str]
) -> Iterator[Finding]:
    modalities = {stream.id: stream.modality for stream in sample.manifest.streams}
    by_stream: dict[str, list[Region]] = {}
    for region in regions:
        if modalities.get(region.label.stream) in _PAGE_MODALITIES:
            by_stream.setdefault(region.label.stream, []).append(region)
    pages = {name: found for name, found in by_stream.items() if len(found) >= maker.section.min_document_regions}
    only = next(iter(pages)) if len(pages) == 1 else None
    read: dict[str, Page] = {}
    wanted = maker.section.document_fields
    for field in sorted((x for x in sample.annotations if isinstance(x, MetadataField)), key=lambda x: x.id):
        beside = only if modalities.get(field.stream) in _RECORDS else None
        stream = field.stream if field.stream in pages else beside
        value = _value(field)
        if stream is None or field.id in linked or not value or (wanted and field.label not in wanted):
            continue
        if stream not in read:
            read[stream] = Page([(region.box, region.text) for region in pages[stream]])
        fault = read[stream].missing(value)
        if fault is None:
            continue
        nearest = read[stream].nearest(value)
        yield _mismatch(
            maker,
            f"The field {field.label} is “{value[:120]}”, which the {len(pages[stream])} text regions of {stream} do "
            f"not say{f'; the nearest is “{nearest[:120]}”' if nearest else ''}.",
            fault,
            numeric=is_numeric(value),
            streams=tuple(dict.fromkeys((field.stream, stream))),
            annotations=(field.id,),
            place="page",
            suggestion=_spelling(field, nearest, fault, maker.section),
        )


def _spelling(field: MetadataField, nearest: str, error: float, section: TextVisualRules) -> Suggestion | None:
    """Propose what the page says, where only the spelling differs; people decide who misread it."""
    if not isinstance(field.value, TextValue) or not nearest or error > section.max_minor_text_error:
        return None
    if fold_letters(nearest) == fold_letters(field.value.text):
        return None
    changed = field.model_copy(update={"value": TextValue(text=nearest)})
    return Suggestion(summary=f"Write the field as the page does: {nearest[:200]}", patch=LabelPatch(upsert=(changed,)))


def _value(field: MetadataField) -> str:
    value = field.value
    if isinstance(value, TextValue):
        return value.text
    if isinstance(value, QuantityValue):
        return f"{value.value:.10g}"
    return value.at.strftime("%Y-%m-%d") if isinstance(value, TimestampValue) else ""


def _mismatch(
    maker: Maker,
    message: str,
    error: float,
    *,
    numeric: bool,
    streams: tuple[str, ...],
    annotations: tuple[str, ...],
    place: str,
    frames: tuple[int, ...] = (),
    suggestion: Suggestion | None = None,
) -> Finding:
    limit = maker.section.max_minor_text_error
    severity: Severity = "major" if numeric or error > limit else "minor"
    return maker.make(
        "region_text_mismatch",
        severity,
        message,
        streams=streams,
        annotations=annotations,
        frames=frames,
        place=place,
        measured=Measured(value=error, unit="share of wrong letters", threshold=0.0),
        suggestion=suggestion,
    )
