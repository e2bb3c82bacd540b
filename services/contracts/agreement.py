"""How far people agree: numbers, each with the list behind it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from services.contracts.base import Contract, Fraction, Identifier, Name, ProjectId, Text

AgreementMetric = Literal[
    "krippendorff_alpha", "gwet_ac1", "gwet_ac2", "cohen_kappa", "mean_iou", "mean_oks", "mean_closeness", "wer",
    "boundary_f1", "detection_f1",
]  # fmt: skip
AgreementView = Literal["all", "class", "person", "team", "teams", "pair", "window"]
Count = Annotated[int, Field(ge=0)]


class AgreementEntry(Contract):
    """One disagreement."""

    project: ProjectId
    sample_id: Identifier
    place: Text = Field(description="Kind of label, stream and frame.")
    sentence: Text = Field(description="Who says what, with the numbers.")
    people: tuple[Identifier, ...]
    annotation_ids: tuple[Identifier, ...]


class AgreementMeasure(Contract):
    """One number.

    ``value`` is none where there is no number, and ``degenerate`` says why: ``no_pairs`` where nothing was labelled by
    two of the people meant, ``no_variation`` where all say one thing, so that agreement by skill can not be told from
    agreement by habit; ``observed`` is 1 then.
    """

    view: AgreementView
    name: Text = Field(description="The class, person, team, teams, pair or window; ``all`` for everything.")
    kind: Name = Field(description="The kind of label.")
    metric: AgreementMetric
    value: float | None = None
    low: float | None = Field(default=None, description="Lower end of the 95 % bootstrap interval over samples.")
    high: float | None = None
    observed: float | None = Field(default=None, description="Share of agreement that is not corrected for chance.")
    compared: Count = Field(description="Things, pairs of labels, or pairs of answers that the number is of.")
    samples: Count
    degenerate: Literal["no_pairs", "no_variation"] | None = None
    differing: Count = Field(description="How many of them are not fully agreed: as many as there are entries.")
    entries: tuple[AgreementEntry, ...] = Field(default=(), description="The worst first.")
    unlisted: Count = Field(default=0, description="Entries beyond the limit that was asked for.")

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.differing != len(self.entries) + self.unlisted:
            raise ValueError("differing must be the number of entries")
        if self.differing > self.compared:
            raise ValueError("no more can differ than was compared")
        if (self.value is None) != (self.degenerate is not None):
            raise ValueError("degenerate says why there is no value, and only then")
        return self


class Confusion(Contract):
    """Two classes that people give the same things."""

    kind: Name
    class_a: Name
    class_b: Name
    times: Count = Field(description="Pairs of labels of one thing, one of each class: as many as there are entries.")
    share: Fraction = Field(description="Of all pairs of which at least one is of either class.")
    entries: tuple[AgreementEntry, ...] = ()
    unlisted: Count = 0


class AgreementReport(Contract):
    """How far the people agree who labelled the same samples."""

    format: Literal["concord.agreement/1"] = "concord.agreement/1"
    samples: Count = Field(description="Samples with answers of at least two people.")
    people: tuple[Identifier, ...] = ()
    left_out: Count = Field(default=0, description="Samples with fewer answers, withdrawn, or beyond those asked for.")
    unnamed: Count = Field(default=0, description="Labels that name no author, and are in no number.")
    unreadable: Count = Field(default=0, description="Samples that could not be read, and are in no number.")
    measures: tuple[AgreementMeasure, ...] = ()
    confusions: tuple[Confusion, ...] = Field(default=(), description="The most frequent first.")
