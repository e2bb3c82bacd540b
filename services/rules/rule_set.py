"""A rule set: thresholds, tolerances, exemptions and routing, as one versioned document."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from services.contracts.base import Attributes, Contract, Identifier, Name, Text, Version
from services.contracts.canonical import content_sha256
from services.contracts.findings import SEVERITY_ORDER, Finding, RuleReference, Severity
from services.contracts.manifest import Risk
from services.rules.affect_agreement import AffectAgreementRules
from services.rules.answer_agreement import AnswerAgreementRules
from services.rules.asking import AskingRules
from services.rules.audio_transcript import AudioTranscriptRules
from services.rules.clock import ClockRules
from services.rules.consensus import ConsensusRules
from services.rules.context_gate import ContextGateRules
from services.rules.coverage import CoverageRules
from services.rules.definition_drift import DefinitionDriftRules
from services.rules.escalation import MAX_ESCALATIONS, EscalationRule, built_in_escalations, ensure_escalations
from services.rules.event_structure import EventStructureRules
from services.rules.incidents import IncidentRules
from services.rules.lidar_camera import LidarCameraRules
from services.rules.metadata_source import MetadataSourceRules
from services.rules.record_agreement import RecordAgreementRules
from services.rules.report import ReportRules
from services.rules.taxonomy_conformance import TaxonomyConformanceRules
from services.rules.text_visual import TextVisualRules
from services.rules.track_identity import TrackIdentityRules

CHECK_SECTIONS = frozenset(
    {
        "affect_agreement", "answer_agreement", "audio_transcript", "clock", "context_gate", "coverage",
        "definition_drift", "event_structure", "lidar_camera", "metadata_source", "record_agreement",
        "taxonomy_conformance", "text_visual", "track_identity",
    }
)  # fmt: skip
"""The ids of the product's own checks; each has a section of this name."""


class RoutingRule(Contract):
    """Which review queue a finding goes to; the first rule that fits is taken.

    An empty list of checks, kinds or risks fits everything.
    """

    queue: Identifier
    checks: tuple[Name, ...] = ()
    kinds: tuple[Name, ...] = ()
    risks: tuple[Risk, ...] = ()
    min_severity: Severity = "info"
    skill: Name | None = Field(default=None, description="What a person must be able to do to be given it.")
    priority: Annotated[int, Field(ge=0, le=1000)] = Field(default=100, description="Higher goes first.")


class RuleSet(Contract):
    """Everything about the checks that is data and not code."""

    format: Literal["concord.rules/1"] = "concord.rules/1"
    id: Identifier
    version: Version
    description: Text = ""
    blocking_severity: Severity = Field(
        default="major", description="Findings at or above it need a decision before ground truth."
    )
    four_eyes_risks: tuple[Risk, ...] = Field(
        default=("high",), description="Samples of these risks need a second person for every verdict."
    )
    accept_reason_codes: Annotated[tuple[Name, ...], Field(min_length=1, max_length=100)] = (
        "sensor_artefact", "occlusion", "out_of_scope", "ambiguous_scene", "tolerated_by_policy",
    )  # fmt: skip
    lidar_camera: LidarCameraRules = Field(default_factory=LidarCameraRules)
    audio_transcript: AudioTranscriptRules = Field(default_factory=AudioTranscriptRules)
    context_gate: ContextGateRules = Field(default_factory=ContextGateRules)
    taxonomy_conformance: TaxonomyConformanceRules | None = Field(
        default=None, description="Classes and attributes against the taxonomy; none: not asked for."
    )
    record_agreement: RecordAgreementRules | None = Field(
        default=None, description="Labels against the fields of records; none: not asked for."
    )
    definition_drift: DefinitionDriftRules | None = Field(
        default=None, description="Whether teams mean the same; none: not asked for."
    )
    metadata_source: MetadataSourceRules | None = Field(
        default=None, description="Statements about the origin, against each other; none: not asked for."
    )
    text_visual: TextVisualRules | None = Field(
        default=None, description="What texts say against what pictures show; none: not asked for."
    )
    event_structure: EventStructureRules | None = Field(
        default=None, description="Duration, order and coincidence of events; none: not asked for."
    )
    track_identity: TrackIdentityRules | None = Field(
        default=None, description="Object ids through time, space and cameras; none: not asked for."
    )
    clock: ClockRules | None = Field(
        default=None, description="Clocks by themselves and against each other; none: not asked for."
    )
    affect_agreement: AffectAgreementRules | None = Field(
        default=None, description="Moods of words, voice and record against each other; none: not asked for."
    )
    coverage: CoverageRules | None = Field(
        default=None, description="Streams, labels and scenarios that must be there; none: not asked for."
    )
    answer_agreement: AnswerAgreementRules | None = Field(
        default=None, description="Several people's answers against each other; none: not asked for."
    )
    consensus: ConsensusRules | None = Field(
        default=None, description="When several people's labels agree; none: the defaults of its table."
    )
    asking: AskingRules | None = Field(
        default=None, description="What another answer may cost; none: the defaults of its table."
    )
    report: ReportRules | None = Field(
        default=None, description="What the report of a dataset asks for; none: the defaults of its table."
    )
    incidents: IncidentRules | None = Field(
        default=None, description="When findings of several samples are one incident; none: the defaults of its table."
    )
    plug_ins: Annotated[dict[Name, Attributes], Field(max_length=100)] | None = Field(
        default=None, description="Values of plug-ins by their check's id; enabled: false turns one off."
    )
    routing: Annotated[tuple[RoutingRule, ...], Field(max_length=1_000)] = ()
    default_queue: Identifier = "general"
    escalations: Annotated[tuple[EscalationRule, ...], Field(max_length=MAX_ESCALATIONS)] | None = Field(
        default=None, description="When a higher tier decides; tried in order, before the built-in rules."
    )

    @model_validator(mode="after")
    def _escalations_stand_together(self) -> Self:
        if self.escalations:
            built_in = built_in_escalations(self.four_eyes_risks)
            ensure_escalations(self.escalations, built_in, CHECK_SECTIONS.union(self.plug_ins or ()))
        return self

    @property
    def escalation_rules(self) -> tuple[EscalationRule, ...]:
        """All escalation rules in the order in which they are tried, the built-in ones last."""
        return (*(self.escalations or ()), *built_in_escalations(self.four_eyes_risks))

    @property
    def reference(self) -> RuleReference:
        """The id and version, as findings carry it."""
        return RuleReference(id=self.id, version=self.version)

    @property
    def sha256(self) -> str:
        """Hash of the whole rule set in canonical form."""
        return content_sha256(self)

    @property
    def shared_causes(self) -> IncidentRules:
        """When findings of several samples are one incident."""
        return self.incidents or IncidentRules()

    def blocks(self, finding: Finding) -> bool:
        """Whether ``finding`` needs a decision before ground truth may be committed."""
        return SEVERITY_ORDER[finding.severity] >= SEVERITY_ORDER[self.blocking_severity]


DEFAULT_RULE_SET = RuleSet(
    id="default",
    version=1,
    description="Every check, with thresholds that fit calibrated recordings.",
    event_structure=EventStructureRules(),
    taxonomy_conformance=TaxonomyConformanceRules(),
    record_agreement=RecordAgreementRules(),
    text_visual=TextVisualRules(),
    track_identity=TrackIdentityRules(),
    clock=ClockRules(),
    metadata_source=MetadataSourceRules(),
    affect_agreement=AffectAgreementRules(),
    definition_drift=DefinitionDriftRules(),
    coverage=CoverageRules(),
    answer_agreement=AnswerAgreementRules(),
    routing=(
        RoutingRule(queue="context", checks=("context_gate",), priority=300),
        RoutingRule(queue="spatial", checks=("lidar_camera",), skill="spatial", priority=200),
        RoutingRule(queue="speech", checks=("audio_transcript",), skill="speech", priority=200),
        RoutingRule(queue="events", checks=("event_structure",), priority=150),
        RoutingRule(queue="taxonomy", checks=("taxonomy_conformance",), priority=150),
        RoutingRule(queue="records", checks=("record_agreement",), priority=150),
        RoutingRule(queue="text", checks=("text_visual",), priority=200),
        RoutingRule(queue="tracks", checks=("track_identity",), priority=200),
        RoutingRule(queue="clocks", checks=("clock",), priority=150),
        RoutingRule(queue="source", checks=("metadata_source",), priority=250),
        RoutingRule(queue="affect", checks=("affect_agreement",), priority=150),
        RoutingRule(queue="definitions", checks=("definition_drift",), priority=150),
        RoutingRule(queue="coverage", checks=("coverage",), priority=150),
        RoutingRule(queue="answers", checks=("answer_agreement",), priority=150),
    ),
)
