"""What decisions teach: how good models are, what thresholds would do, what to label next, what to train on."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from services.contracts.annotations import Annotation, Annotations
from services.contracts.base import Contract, Fraction, Identifier, Name, ProjectId, Sha256, Version
from services.contracts.findings import ExactNumber
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.review import LabelOrigin, Verdict

Count = Annotated[int, Field(ge=0)]
Change = Literal["class", "geometry", "attributes", "removed", "missed"]
MAX_CORRECTIONS = 200_000


class Share(Contract):
    """A share with its 95 % interval (Wilson); ``of`` 0 means that nothing is known: no value, 0 to 1."""

    value: Fraction | None = None
    low: Fraction
    high: Fraction
    of: Count


class ClassQuality(Contract):
    """One model version on one class, held against committed labels.

    Of a class, ``predictions`` is the sum of the five counts that follow it, and ``truth`` the sum of what was found,
    ``taken_for_another`` and ``missed``; found is what was confirmed or corrected in geometry or attributes only.
    """

    model: Identifier
    version: Name | None = None
    kind: Name = Field(description="The kind of label.")
    label: Name = Field(description="The class; ``all`` of ``scope`` kind.")
    scope: Literal["class", "kind"] = "class"
    predictions: Count = Field(description="Predicted as this class.")
    confirmed: Count = Field(description="Committed as predicted.")
    corrected_class: Count = Field(description="Committed as another class.")
    corrected_geometry: Count = Field(description="Same class, other place, outline, time or text.")
    corrected_attributes: Count = Field(description="Same class and geometry, other attributes or identity.")
    removed: Count = Field(description="No committed label is of the same thing.")
    truth: Count = Field(description="Committed as this class.")
    taken_for_another: Count = Field(description="Committed as this class, predicted as another.")
    missed: Count = Field(description="Committed as this class, not predicted at all.")
    precision: Share = Field(description="Found of what was predicted.")
    recall: Share = Field(description="Found of what was committed.")
    mean_closeness: Fraction | None = Field(
        default=None,
        description="Mean over what was found of how close prediction and label are: intersection over union of boxes, "
        "cuboids, regions, spans and intervals; none where the kind has no place.",
    )

    @property
    def found(self) -> int:
        """Predictions of the right class at the right place."""
        return self.confirmed + self.corrected_geometry + self.corrected_attributes

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.predictions != self.found + self.corrected_class + self.removed:
            raise ValueError("predictions must be the sum of what became of them")
        if self.truth != self.found + self.taken_for_another + self.missed:
            raise ValueError("truth must be the sum of what was predicted of it and what was missed")
        return self


class ModelQuality(Contract):
    """How good the models of a project are, by what was committed."""

    project: ProjectId
    records: Count = Field(description="Committed samples that were compared.")
    unpredicted: Count = Field(description="Committed samples without a prediction; in no other number.")
    unjudged: Count = Field(
        description="Committed samples whose labels are predictions that nobody decided about; in no other number."
    )
    erased: Count = Field(description="Committed samples whose content was erased; in no other number.")
    complete: bool = Field(description="False where there are more records than were to be read.")
    models: tuple[ClassQuality, ...] = Field(description="By model, version, kind and class; all of a kind first.")


class ThresholdPoint(Contract):
    """What a threshold would have kept of the findings that were made and judged."""

    threshold: ExactNumber
    kept: Count
    right: Count = Field(description="Of those kept, how many people confirmed by correcting or rejecting.")
    precision: Share
    recall: Share = Field(description="Of the confirmed findings that were made; what was never reported is not seen.")


class ThresholdAdvice(Contract):
    """What past verdicts say about one threshold. It is never applied by itself."""

    check: Name
    kind: Name
    unit: Name
    direction: Literal["above", "below", "either_side"] = Field(
        description="On which side of the threshold a finding is made; either_side: by the size of a signed number."
    )
    judged: Count = Field(description="Findings that were confirmed or dismissed.")
    right: Count
    accepted: Count = Field(description="Findings whose conflict was accepted; in no other number.")
    present: ExactNumber = Field(description="The tightest threshold that any of the judged findings was made with.")
    loosest: ExactNumber = Field(description="The loosest one; findings between the two are in no point.")
    points: tuple[ThresholdPoint, ...] = Field(description="The present threshold, and tighter ones in order.")
    suggested: ExactNumber | None = Field(
        default=None, description="The loosest threshold whose precision is at least the target by its lower bound."
    )
    reason: Literal["keep", "tighten", "out_of_reach"] = Field(
        description="keep: the present one reaches the target; out_of_reach: none does, by these findings."
    )
    left_out: Count = Field(default=0, description="Findings beyond the most that are held.")


class ThresholdReport(Contract):
    """What past verdicts say about thresholds."""

    project: ProjectId
    target_precision: Fraction
    samples: Count = Field(description="Samples that were read: the newest revision of each.")
    complete: bool = Field(description="False where there are more samples than were to be read.")
    advice: tuple[ThresholdAdvice, ...] = Field(description="By check, kind and unit.")
    varying: tuple[Name, ...] = Field(
        default=(), description="Checks and kinds whose threshold is a fact of each sample: nothing is said of these."
    )


class NextParts(Contract):
    """What a place in the list is made of; each from 0 to 1, the score is their mean."""

    weakness: Fraction = Field(
        description="Mean over the predicted labels of one less the lower bound of precision or recall of their class "
        "and model, whichever is less; 1 for a class of which nothing is known."
    )
    doubt: Fraction | None = Field(
        default=None, description="Mean of one less the confidence; none where no prediction tells one."
    )
    rarity: Fraction = Field(
        description="Of the rarest predicted class: one less its count in ground truth over that of the most frequent "
        "class of its kind."
    )


class NextSample(Contract):
    """A sample that is worth labelling next."""

    ref: RevisionRef
    stage: Stage
    predictions: Count
    score: Fraction | None = Field(default=None, description="None where nothing was predicted; these come last.")
    parts: NextParts | None = None
    weakest: Name | None = Field(default=None, description="The predicted class that is weakest, as kind/class.")
    rarest: Name | None = Field(default=None, description="The predicted class that is rarest, as kind/class.")


class NextSamples(Contract):
    """What to label next, the most valuable first."""

    project: ProjectId
    records: Count = Field(description="Committed samples that the parts rest on.")
    candidates: Count = Field(description="Samples that are neither committed nor closed.")
    unpredicted: Count = Field(description="Those of them that no model predicted anything for.")
    complete: bool = Field(description="False where there is more than was to be read.")
    items: tuple[NextSample, ...]


class CorrectionReason(Contract):
    """What a correction rests on: a finding, the decision about it or the one that made the labels.

    What people wrote is not here: it stays where it can be erased. ``decision_sha256`` commits to it.
    """

    finding_id: Identifier | None = None
    check: Name | None = None
    finding_kind: Name | None = None
    label_version: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="The labels with which the correction came, where it is told by them."
    )
    revision: Version | None = Field(
        default=None, description="Of these labels, where it is one that taxonomy migrations made the record of."
    )
    origin: LabelOrigin | None = Field(default=None, description="Where these labels came from.")
    decision_id: UUID | None = None
    verdict: Verdict | None = None
    reason_code: Name | None = None
    decision_sha256: Sha256 | None = None


class Correction(Contract):
    """One difference between what a model said and what was committed."""

    change: Change
    prediction: Identifier | None = Field(default=None, description="Id of the predicted label; none if missed.")
    committed: Identifier | None = Field(default=None, description="Id of the committed label; none if removed.")
    closeness: Fraction | None = None
    reasons: Annotated[tuple[CorrectionReason, ...], Field(max_length=1_000)] = ()


class CorrectedPrediction(Contract):
    """What one model said of a sample, and what was wrong with it."""

    model: Identifier
    version: Name | None = None
    sha256: Sha256 = Field(description="Of the predicted labels.")
    annotations: Annotations
    corrections: Annotated[tuple[Correction, ...], Field(min_length=1, max_length=MAX_CORRECTIONS)]


class CorrectedSample(Contract):
    """A committed sample in which a model was corrected: a line of the retraining export."""

    format: Literal["concord.correction/1"] = "concord.correction/1"
    ref: RevisionRef
    content_sha256: Sha256 = Field(description="Of the committed record.")
    annotations: tuple[Annotation, ...] = Field(description="The committed labels, by id.")
    predictions: Annotated[tuple[CorrectedPrediction, ...], Field(min_length=1)]
