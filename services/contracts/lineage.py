"""What ground truth rests on, as it is asked for from the other end: what depends on this?"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from services.contracts.base import Contract, Identifier, Sha256, UtcDatetime
from services.contracts.lifecycle import RevisionRef, Stage

MAX_KEY_LENGTH = 500


class OriginKind(StrEnum):
    """Kinds of what a record can rest on, and what the key of each is."""

    EVENT = "event"  # hash of its content
    ASSET = "asset"  # hash of its bytes
    CALIBRATION = "calibration"  # hash of its canonical form, or SENSOR@HASH
    MODEL = "model"  # NAME@VERSION, or NAME where it told no version
    PERSON = "person"  # id
    RULE_SET = "rule_set"  # ID@VERSION
    TAXONOMY = "taxonomy"  # version, as the labels name it
    LABEL_SET = "label_set"  # hash of the labels
    DECISION = "decision"  # id
    WORKFLOW = "workflow"  # id of the Temporal run
    INCIDENT = "incident"  # id


OriginKey = Annotated[str, StringConstraints(min_length=1, max_length=MAX_KEY_LENGTH)]


class Origin(Contract):
    """One thing that a record rests on."""

    kind: OriginKind
    key: OriginKey


class Dependent(Contract):
    """A committed record that rests on what was asked for."""

    ref: RevisionRef
    content_sha256: Sha256
    committed_at: UtcDatetime
    stage: Stage = Field(description="committed, or reopened when a newer revision came.")


class VersionOfDependents(Contract):
    """A dataset version with committed records that rest on what was asked for."""

    dataset: Identifier
    version: Annotated[int, Field(ge=1)]
    records: Annotated[int, Field(ge=1, description="How many of its records rest on it.")]
    manifest_sha256: Sha256 = Field(description="Of the version.")
    created_at: UtcDatetime


class RevisionCount(Contract):
    """How many of the records are of one revision number."""

    revision: Annotated[int, Field(ge=1)]
    records: Annotated[int, Field(ge=0)]


class DependentsSummary(Contract):
    """Everything that rests on one thing, counted."""

    origin: Origin
    records: Annotated[int, Field(ge=0, description="All of them, exactly.")]
    superseded: Annotated[int, Field(ge=0, description="Those whose sample has a newer revision (stage reopened).")]
    revisions: tuple[RevisionCount, ...] = Field(default=(), description="By revision number.")
