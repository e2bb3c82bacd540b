"""Valence maps and thresholds of the ``affect_agreement`` check."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from services.contracts.base import Contract, Fraction, Name, Number
from services.contracts.findings import Severity

AffectAgreementKind = Literal[
    "valence_conflict", "intensity_conflict", "conversation_conflict", "record_conflict", "self_contradiction",
    "shifted_labels", "inverted_scale",
]  # fmt: skip
Valence = Annotated[float, Field(ge=-1, le=1)]
Difference = Annotated[float, Field(ge=0, le=2)]

DEFAULT_VALENCES: dict[str, float] = {
    "positive": 1.0, "very_positive": 1.0, "negative": -1.0, "very_negative": -1.0, "neutral": 0.0, "calm": 0.0,
    "joy": 1.0, "joyful": 1.0, "happy": 1.0, "happiness": 1.0, "amused": 1.0, "amusement": 1.0, "content": 0.7,
    "satisfied": 0.8, "satisfaction": 0.8, "grateful": 1.0, "gratitude": 1.0, "relieved": 0.7, "relief": 0.7,
    "peaceful": 0.5, "powerful": 0.5, "love": 1.0, "admiration": 0.9, "optimism": 0.7, "pride": 0.7,
    "anger": -1.0, "angry": -1.0, "mad": -1.0, "rage": -1.0, "annoyed": -0.7, "annoyance": -0.7, "frustrated": -0.8,
    "frustration": -0.8, "upset": -0.9, "sad": -1.0, "sadness": -1.0, "grief": -1.0, "fear": -1.0, "fearful": -1.0,
    "scared": -1.0, "anxious": -0.8, "nervous": -0.6, "disgust": -1.0, "disgusted": -1.0, "contempt": -0.9,
    "disappointed": -0.8, "disappointment": -0.8, "unhappy": -0.9, "complaint": -0.8, "praise": 0.9,
}  # fmt: skip

_SEVERITIES: dict[AffectAgreementKind, Severity] = {
    "valence_conflict": "major",
    "intensity_conflict": "minor",
    "conversation_conflict": "minor",
    "record_conflict": "major",
    "self_contradiction": "major",
    "shifted_labels": "major",
    "inverted_scale": "major",
}


class RecordField(Contract):
    """How one field of a record says that somebody was pleased or not: by its values, or along a scale."""

    name: Name = Field(description="The field of an inline record, or the label of a metadata field.")
    values: Annotated[dict[Name, Valence], Field(max_length=500)] = Field(
        default_factory=dict, description="Valence by value, compared without case."
    )
    scale: tuple[Number, Number] | None = Field(
        default=None, description="(worst, best): numbers between them are -1 to 1; worst may be the greater."
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.values and self.scale is None:
            raise ValueError("give values, scale, or both")
        if self.scale is not None and self.scale[0] == self.scale[1]:
            raise ValueError("scale is (worst, best), and they must differ")
        return self


class AffectAgreementRules(Contract):
    """When what is said, how it is said, and what the record says of the mood do not fit together."""

    enabled: bool = True
    severities: Annotated[dict[AffectAgreementKind, Severity], Field(max_length=50)] = Field(
        default_factory=dict, description="Severity by kind, where it is to differ from the default."
    )
    valences: Annotated[dict[Name, Valence], Field(max_length=2_000)] = Field(
        default_factory=dict,
        description="Valence by class, -1 to 1, compared without case; beside the common classes, and before them.",
    )
    ambivalent: Annotated[tuple[Name, ...], Field(max_length=500)] = Field(
        default=("surprise", "surprised", "mixed", "other", "unknown", "excited", "excitement"),
        description="Classes that may be pleasant or not: they agree with everything.",
    )
    record_fields: Annotated[tuple[RecordField, ...], Field(max_length=200)] = Field(
        default=(
            RecordField(
                name="sentiment",
                values={"positive": 1.0, "neutral": 0.0, "negative": -1.0},
            ),
            RecordField(name="csat", scale=(1, 5)),
            RecordField(name="ticket_history", values={"happy": 1.0, "neutral": 0.0, "unhappy": -1.0}),
        ),
        description="Fields of records that speak of the mood.",
    )
    utterance_attributes: Annotated[tuple[Name, ...], Field(max_length=20)] = Field(
        default=("utterance", "utterance_id", "utterance_index", "segment_id", "turn"),
        description="Attributes that name the utterance of a label, where it has no object_id.",
    )
    min_shared: Fraction = Field(
        default=0.5, description="Share of the shorter that an emotion and a segment must overlap to be one utterance."
    )
    polar_valence: Fraction = Field(
        default=0.3, description="Above it a valence is pleasant, below its negative unpleasant, between them neutral."
    )
    min_difference: Difference = Field(
        default=0.7, description="Two labels of one utterance may differ by less, without being opposite."
    )
    major_voice_difference: Difference = Field(
        default=0.9, description="Calm words and a voice that is so much less pleasant are major."
    )
    conversation_difference: Difference = Field(
        default=0.8, description="Mean valences of two modalities over a conversation may differ by less."
    )
    record_difference: Difference = Field(
        default=0.8, description="The record's valence may differ by less from the conversation's."
    )
    max_shift: Annotated[int, Field(ge=0, le=20)] = Field(
        default=3, description="Labels that belong to an utterance so many places away are looked for."
    )
    min_cause_conflicts: Annotated[int, Field(ge=2, le=10_000)] = Field(
        default=4, description="Least number of conflicting utterances that one cause is looked for."
    )
    cause_share: Fraction = Field(default=0.34, description="A cause must leave at most this share of the conflicts.")

    def severity_of(self, kind: AffectAgreementKind) -> Severity:
        """Return the severity of ``kind`` in these rules."""
        return self.severities.get(kind, _SEVERITIES[kind])

    def valence_map(self) -> dict[str, float]:
        """Return the valence of each class, its name without case; the rule set's own go before the common ones."""
        return {name.casefold(): value for name, value in (DEFAULT_VALENCES | self.valences).items()}
