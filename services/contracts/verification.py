"""What verifying a project answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from services.contracts.base import Contract, Name, ProjectId, Sha256, Text, UtcDatetime


class Anchor(Contract):
    """A link of an audit chain as somebody noted it earlier, outside of the store."""

    sequence: Annotated[int, Field(ge=1, le=2**53)]
    sha256: Sha256


class AuditHead(Contract):
    """The newest link of a chain, to be kept where nobody who can write to the store can write."""

    project: ProjectId
    anchor: Anchor | None = Field(default=None, description="None while the chain has no entry.")
    at: UtcDatetime


class Fault(Contract):
    """One contradiction between stored facts."""

    kind: Name = Field(description="Stable, such as entry-edited or lineage-mismatch.")
    subject: Text
    detail: Text


class VerificationReport(Contract):
    """What verifying a project found.

    ``faults`` holds the first of them; ``faults_left_out`` counts the others.
    """

    project: ProjectId
    audit_verified: bool
    lineage_verified: bool
    datasets_verified: Annotated[bool, Field(description="Every dataset, its versions and their members.")] = True
    entries: Annotated[int, Field(ge=0, description="Audit entries looked at.")]
    records: Annotated[int, Field(ge=0, description="Ground-truth records looked at.")]
    dataset_versions: Annotated[int, Field(ge=0, description="Dataset versions looked at.")] = 0
    erased: Annotated[int, Field(ge=0, description="Sample revisions whose content was erased.")] = 0
    redacted: Annotated[int, Field(ge=0, description="Audit entries whose personal text was erased.")] = 0
    head: Anchor | None = Field(default=None, description="The newest link; keep it elsewhere, give it next time.")
    faults: tuple[Fault, ...] = ()
    faults_left_out: Annotated[int, Field(ge=0)] = 0

    @property
    def verified(self) -> bool:
        """Whether everything holds."""
        return self.audit_verified and self.lineage_verified and self.datasets_verified
