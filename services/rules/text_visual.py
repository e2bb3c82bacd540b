"""Thresholds of the ``text_visual`` check."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from services.contracts.base import Contract, Fraction, Identifier, Name
from services.contracts.findings import Severity
from services.rules.meaning import PhraseMeaningRules
from services.taxonomy.taxonomy import Taxonomy

TextVisualKind = Literal[
    "mentioned_not_seen", "seen_not_mentioned", "count_mismatch", "attribute_mismatch", "negation_conflict",
    "region_text_mismatch", "grounding_mismatch",
]  # fmt: skip


class RegionOcrRules(Contract):
    """How the regions of a picture are read by OCR and held against their labels; needs the extra ``ocr``.

    The defaults were chosen on one half of recorded receipts and scored on the other: ``concord bench detection``.
    """

    min_confidence: Fraction = Field(
        default=0.85, description="What is read with less confidence of the networks is not heard."
    )
    max_error: Fraction = Field(
        default=0.3,
        description="Share of wrong letters up to which OCR may have misread; in numbers every digit counts.",
    )
    max_severity: Literal["minor", "major"] = Field(
        default="major", description="Greatest severity of a finding that rests on this reading."
    )
    max_regions: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=500, description="An image with more regions is not read; a region takes about 0.06 s of a core."
    )
    max_pixels: Annotated[int, Field(ge=10_000, le=400_000_000)] = Field(
        default=50_000_000, description="A larger image is refused before it is decoded."
    )
    threads: Annotated[int, Field(ge=1, le=64)] = Field(default=1, description="Of the networks, in each process.")


class TextVisualRules(Contract):
    """What a text must say, and may not say, about what is labelled in the pictures beside it."""

    enabled: bool = True
    taxonomy: Taxonomy | None = Field(
        default=None, description="Classes, synonyms and kinds; without it only classes labelled in the sample count."
    )
    language: Literal["en"] = Field(default="en", description="Language of the texts; English is what is read.")
    min_function_word_share: Fraction = Field(
        default=0.1,
        description="A text of 8 words or more with a smaller share of English function words is in another language.",
    )
    text_streams: Annotated[tuple[Identifier, ...], Field(max_length=200)] = Field(
        default=(), description="Text streams that describe the pictures; empty means every text stream."
    )
    labelled_classes: Annotated[tuple[Name, ...], Field(max_length=20_000)] = Field(
        default=(), description="Classes that are labelled wherever they are seen; empty means all of the taxonomy."
    )
    must_mention: Annotated[tuple[Name, ...], Field(max_length=1_000)] = Field(
        default=(), description="Classes that a text must mention where they are seen."
    )
    min_unmentioned_area_share: Fraction = Field(
        default=0.1, description="Other classes need a mention from this share of the image on (largest label)."
    )
    text_attributes: Annotated[tuple[Name, ...], Field(min_length=1, max_length=20)] = Field(
        default=("text", "transcription"), description="Attributes of a region that hold what a person read in it."
    )
    ocr_attributes: Annotated[tuple[Name, ...], Field(max_length=20)] = Field(
        default=("ocr_text", "ocr"), description="Attributes of a region that hold what OCR read in it."
    )
    document_fields: Annotated[tuple[Name, ...], Field(max_length=1_000)] = Field(
        default=(), description="metadata_field labels that must be readable on the page; empty means all beside one."
    )
    min_document_regions: Annotated[int, Field(ge=1, le=1_000)] = Field(
        default=3, description="From this many regions with text on, an image is a page whose fields can be looked up."
    )
    region_iou: Fraction = Field(
        default=0.5, description="Regions of two authors that overlap by this much (IoU) hold the same text."
    )
    max_minor_text_error: Fraction = Field(
        default=0.15,
        description="Share of wrong letters up to which a text is misspelt (minor) and not another (major).",
    )
    grounding_relations: Annotated[tuple[Name, ...], Field(max_length=100)] = Field(
        default=(), description="Relations that link a phrase to what it names; empty means every such relation."
    )
    meaning: PhraseMeaningRules | None = Field(
        default=None,
        description="Takes nouns that the taxonomy does not name for the class they mean; none: leaves them alone.",
    )
    ocr: RegionOcrRules | None = Field(
        default=None, description="Reads the regions of pictures and holds them against their text; none: does not."
    )
    severities: Annotated[dict[TextVisualKind, Severity], Field(max_length=20)] = Field(
        default_factory=dict, description="Severities that replace the check's own."
    )
