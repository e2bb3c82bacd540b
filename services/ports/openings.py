"""The store of new samples, as the product sees it: many first revisions in a few statements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from services.contracts.annotations import Annotations
from services.contracts.events import IncomingEvent
from services.contracts.label_base import Author
from services.contracts.lifecycle import RevisionRef
from services.contracts.manifest import Risk, SampleManifest
from services.contracts.records import StageChange
from services.contracts.review import NewTask


@dataclass(frozen=True, slots=True)
class Opening:
    """A sample's first revision with everything that is written about it at once.

    Attributes:
        ref: The revision, 1.
        manifest: What upstream says of it.
        manifest_sha256: Of the manifest's canonical form.
        risk: What it says, and no less than the project's.
        event: What brought it.
        labels: The manifest's own labels, which become version 1 where there are any.
        author: Who is taken to have made them.
        changes: Its stages from ``received`` to where it stands, with the sequences 1, 2, ….
        tasks: Open tasks that ask for its labels, by their ids.
    """

    ref: RevisionRef
    manifest: SampleManifest
    manifest_sha256: str
    risk: Risk
    event: IncomingEvent
    labels: Annotations
    author: Author
    changes: tuple[StageChange, ...]
    tasks: tuple[tuple[UUID, NewTask], ...] = ()


class OpeningRepository(Protocol):
    """New samples."""

    async def reserve(self, project: str, sample_ids: Sequence[str]) -> frozenset[str]:
        """Make samples that were not there, locked for this transaction, and return which; no others are touched."""
        ...

    async def add(self, openings: Sequence[Opening]) -> None:
        """Keep the first revisions of samples that this transaction has made."""
        ...
