"""Thresholds of what the words of a transcript show, each laid over the sound by itself."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from services.contracts.base import Contract, Name


class WordAlignmentRules(Contract):
    """When the place of words in the sound contradicts a transcript; needs the extra ``words``."""

    language: Name = Field(default="en", description="BCP 47 tag that is assumed where a segment states none.")
    search_s: Annotated[float, Field(ge=0.2, le=10)] = Field(
        default=1.0, description="How far before and after a segment its words are looked for, seconds."
    )
    stretch_s: Annotated[float, Field(ge=5, le=60)] = Field(
        default=15.0, description="How much of a transcript is aligned at once, with one segment around it, seconds."
    )
    max_aligned_s: Annotated[float, Field(ge=10, le=36_000)] = Field(
        default=600.0,
        description="Of a longer transcript only stretches of this length in all are aligned, evenly chosen, seconds.",
    )
    max_misfit_nats: Annotated[float, Field(gt=0, le=50)] = Field(
        default=6.5,
        description="Words that fit the sound worse were not said there, and their places mean nothing; nats a frame.",
    )
    max_edge_misfit_nats: Annotated[float, Field(gt=0, le=50)] = Field(
        default=8.5,
        description="The same for single words, and those next to an edge, in a segment that fits; short ones fit "
        "worse. Above it neither the word nor the edge is judged.",
    )
    boundary_tolerance_s: Annotated[float, Field(ge=0.05, le=10)] = Field(
        default=0.35, description="How far a segment's edge may lie from its own words, seconds."
    )
    word_tolerance_s: Annotated[float, Field(ge=0.05, le=10)] = Field(
        default=0.2, description="How far a word's own times may lie from where it is heard, seconds."
    )
    min_offset_segments: Annotated[int, Field(ge=2, le=1_000)] = Field(
        default=5, description="Least segments with well-fitting words from which an offset is refined."
    )
