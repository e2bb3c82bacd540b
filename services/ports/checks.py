"""Where the cross-modal checks run: off the event loop, off the workflow thread."""

from __future__ import annotations

from typing import Protocol

from services.contracts.annotations import Annotation
from services.contracts.consensus import Consensus
from services.contracts.findings import CheckReport
from services.contracts.manifest import SampleManifest
from services.rules.rule_set import RuleSet


class CheckRunner(Protocol):
    """Reads and decodes the assets and runs the checks, in another process."""

    async def run(
        self,
        manifest: SampleManifest,
        annotations: tuple[Annotation, ...],
        rules: RuleSet,
        consensus: Consensus | None = None,
    ) -> CheckReport:
        """Return the report; ``consensus`` is what several answers said together, where the labels were joined of them.

        An asset that can not be read or decoded becomes a finding of ``metadata_source`` (kinds
        ``asset_missing``, ``asset_unreadable``, ``hash_mismatch``), never an exception.
        """
        ...
