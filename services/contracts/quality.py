"""How often people are right: known answers, and the accuracy they and later verdicts give."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from services.contracts.annotations import Annotations
from services.contracts.base import Contract, Fraction, Identifier, Name, ProjectId, Text, UtcDatetime
from services.contracts.calibration import Disagreement, ExpertAgreement, MixedIn, PersonPause
from services.contracts.lifecycle import RevisionRef
from services.contracts.review import Verdict

Count = Annotated[int, Field(ge=0)]
LabelFault = Literal["missed", "added", "class", "place"]
ReferenceKind = Literal["gold", "later_verdict"]


class GoldAnswer(Contract):
    """The known answer for one sample. Nobody who works on tasks can read it, or see that there is one."""

    sample_id: Identifier
    verdict: Literal[Verdict.APPROVE, Verdict.FIX, Verdict.ACCEPT_CONFLICT, Verdict.REJECT] | None = Field(
        default=None,
        description="What a person should decide about the sample's findings; none: only its labels are known.",
    )
    labels: Annotations = Field(
        default=(), description="How these labels should be: after a fix, and as made by whoever labels the sample."
    )
    complete: Literal[True] | None = Field(
        default=None, description="The sample has no other labels; none: labels beyond the known ones are not judged."
    )
    tolerance: Annotated[float, Field(ge=0, le=1e6)] = Field(
        default=0.0, description="How far each number of a label may be off, in the label's own units."
    )
    note: Text | None = None

    @property
    def tells_labels(self) -> bool:
        """Whether labels that somebody makes of the sample can be held against it."""
        return bool(self.labels) or self.complete is not None

    @model_validator(mode="after")
    def _tells_something(self) -> Self:
        if self.verdict is None and not self.tells_labels:
            raise ValueError("give a verdict, or labels, or say that the sample has none: complete")
        return self


class StoredGoldAnswer(Contract):
    """A known answer with who gave it."""

    project: ProjectId
    answer: GoldAnswer
    given_by: Identifier
    given_at: UtcDatetime


class Accuracy(Contract):
    """How often one person was right, where that is known; the interval is Wilson's, 95 %."""

    actor_id: Identifier
    check: Name | None = Field(
        default=None,
        description="Of what was judged, check/kind, or labels/ and the kind of label; none: all together.",
    )
    label: Name | None = Field(default=None, description="Class of the labels that were judged; none: all together.")
    judged: Annotated[int, Field(ge=1)]
    right: Count
    share: Fraction
    low: Fraction
    high: Fraction
    below_bar: bool = Field(
        default=False, description="Even the upper end of the interval is below the bar, of enough verdicts."
    )


class WrongVerdict(Contract):
    """A verdict that the reference contradicts."""

    decision_id: UUID
    ref: RevisionRef
    actor_id: Identifier
    verdict: Verdict
    finding_id: Identifier
    reference: ReferenceKind
    expected: Verdict
    decided_at: UtcDatetime


class WrongLabel(Contract):
    """What somebody who labelled a sample with known labels got wrong."""

    decision_id: UUID
    ref: RevisionRef
    actor_id: Identifier
    type: Name = Field(description="Kind of the label.")
    fault: LabelFault = Field(
        description="missed: not labelled. added: there is no such thing. class, place: as what, or where, it is not."
    )
    known: Name | None = Field(default=None, description="The known class; none: there should be no label.")
    said: Name | None = Field(default=None, description="The class they gave it; none: they did not label it.")
    decided_at: UtcDatetime


class QualityReport(Contract):
    """How often the people of a project were right."""

    format: Literal["concord.quality/1"] = "concord.quality/1"
    project: ProjectId
    bar: Fraction
    samples: Count = Field(description="Samples that were read.")
    gold_samples: Count = Field(description="Of these, samples whose answer is known.")
    people: tuple[Accuracy, ...] = Field(default=(), description="Each person, all together.")
    by_check: tuple[Accuracy, ...] = ()
    by_label: tuple[Accuracy, ...] = ()
    wrong: tuple[WrongVerdict, ...] = Field(default=(), description="The newest first.")
    unlisted: Count = Field(default=0, description="Wrong verdicts beyond those asked for.")
    wrong_labels: tuple[WrongLabel, ...] = Field(
        default=(), description="Of labellings with a known answer, the newest first."
    )
    unlisted_labels: Count = Field(default=0, description="Wrong labels beyond those asked for.")
    mixed_in: tuple[MixedIn, ...] = Field(default=(), description="Known answers given unannounced, by person.")
    paused: tuple[PersonPause, ...] = Field(default=(), description="Who is given no more tasks, and of what.")
    experts: ExpertAgreement | None = Field(
        default=None, description="Adjudications that a second expert decided too; none where there are none."
    )
    disagreements: tuple[Disagreement, ...] = Field(
        default=(), description="Where the second expert said otherwise, the newest first."
    )


class AnnotatorSkill(Contract):
    """How often one person, or everybody together, says of a thing what it is; the interval is Wilson's, 95 %."""

    actor_id: Identifier | None = Field(default=None, description="None: everybody together.")
    label: Name | None = Field(
        default=None, description="Of things of this class, (nothing) being none at all; none: of all things."
    )
    judged: Annotated[float, Field(ge=0)] = Field(description="Expected number of such things among those seen.")
    right: Annotated[float, Field(ge=0)] = Field(description="Of these, as expected, called what they are.")
    share: Fraction = Field(description="Estimated probability to be right, drawn towards that of everybody.")
    low: Fraction
    high: Fraction


class AnnotatorQuality(Contract):
    """What was learned about a project's annotators from answers to the same samples."""

    format: Literal["concord.annotator-quality/1"] = "concord.annotator-quality/1"
    project: ProjectId
    samples: Count = Field(default=0, description="Samples with joined answers that it was learned from, the newest.")
    joined: Count = Field(default=0, description="Samples with joined answers that there were.")
    units: Count = Field(default=0, description="Things that somebody labelled in them.")
    known: Count = Field(default=0, description="Of these, things of which an expert or a known answer says the class.")
    learned_at: UtcDatetime | None = Field(default=None, description="None: nothing was learned yet.")
    skills: tuple[AnnotatorSkill, ...] = Field(default=(), description="Everybody first, then by person and class.")
