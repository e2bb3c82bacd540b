"""What people closed before, and whether it still is what they closed. Pure functions.

A finding that was accepted or dismissed in an earlier revision of a sample is not asked about again while the labels,
the streams and, where it names no label, the context that it is about are the same. A label whose class was only
renamed by the taxonomy is the same; one whose class was merged with another, or split, is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from services.contracts.annotations import Annotations
from services.contracts.canonical import content_sha256
from services.contracts.findings import Finding
from services.contracts.manifest import Risk, SampleManifest, Stream
from services.contracts.records import AssetRecord
from services.contracts.review import Decision, FindingState, StoredFinding
from services.review.authorship import concerned_ids, concerned_sha256
from services.review.escalation import escalation_after
from services.review.labels import labels_by_id, labels_sha256
from services.rules.rule_set import RuleSet
from services.taxonomy.migrating import Carrier, SamplePlan, uses_of

CLOSED = frozenset({FindingState.DISMISSED, FindingState.ACCEPTED})
_SAME_CLASS = frozenset({"untouched", "renamed"})


@dataclass(frozen=True, slots=True)
class Content:
    """What findings are about.

    Attributes:
        manifest: The sample's.
        assets: Its assets as they were read.
        annotations: Its labels.
        taxonomy: The version by which labels that name none are read; None for the newest.
    """

    manifest: SampleManifest
    assets: tuple[AssetRecord, ...]
    annotations: Annotations
    taxonomy: str | None = None


@dataclass(frozen=True, slots=True)
class Closing:
    """A finding that people closed in an earlier revision.

    Attributes:
        item: The finding as it stands in the newest revision that knows it.
        decision: The decision that closed it, in that revision or in one before.
        about: What it was about there.
    """

    item: StoredFinding
    decision: Decision
    about: Content


@dataclass(frozen=True, slots=True)
class ClosedBefore:
    """What a finding rests on that people closed before.

    Attributes:
        state: Accepted or dismissed.
        decision_id: The decision that closed it.
        revision: The earlier revision that the decision was made on; None for the finding's own.
    """

    state: FindingState
    decision_id: UUID | None
    revision: int | None


def closed_before(
    found: Iterable[Finding],
    now: Content,
    closings: Iterable[Closing],
    *,
    risk: Risk,
    rules: RuleSet,
    carrier: Carrier | None = None,
) -> dict[str, ClosedBefore]:
    """Return which findings people closed in an earlier revision and need not be asked about, by finding id.

    A verdict that is followed by a second one closes nothing by itself, be it that the risk of the sample or the rules
    ask for the second only now.

    Args:
        found: What a check run found and the revision did not know.
        now: What it was found in.
        closings: What people closed in earlier revisions.
        risk: Of the sample.
        rules: The project's rule set.
        carrier: Knows the names of classes under the project's taxonomy.
    """
    known = {closing.item.finding.finding_id: closing for closing in closings}
    kept = {}
    for finding in found:
        closing = known.get(finding.finding_id)
        if (
            closing is not None
            and escalation_after(closing.decision, risk, rules) is None
            and is_unchanged(closing.item, closing.about, finding, now, carrier)
        ):
            kept[finding.finding_id] = ClosedBefore(
                closing.item.state, closing.decision.decision_id, closing.decision.ref.revision
            )
    return kept


def closed_under_old_names(
    found: Iterable[Finding], now: Content, stored: Iterable[StoredFinding], before: Content, carrier: Carrier | None
) -> dict[str, ClosedBefore]:
    """Return which findings stay closed although the labels they are about have been carried over, by finding id.

    Args:
        found: What a check run found.
        now: What it was found in: labels under the project's taxonomy.
        stored: The revision's findings before the run.
        before: The same with the labels before they were carried over.
        carrier: What carried them over.
    """
    known = {item.finding.finding_id: item for item in stored if item.state in CLOSED}
    return {
        finding.finding_id: ClosedBefore(item.state, item.decision_id, item.decision_revision)
        for finding in found
        if (item := known.get(finding.finding_id)) is not None and is_unchanged(item, before, finding, now, carrier)
    }


def is_unchanged(item: StoredFinding, then: Content, finding: Finding, now: Content, carrier: Carrier | None) -> bool:
    """Whether a finding is about just what a closed one was about when people closed it.

    Args:
        item: The closed finding.
        then: What it was about; false where these are not the labels that were judged.
        finding: The finding as it is found now.
        now: What it is about.
        carrier: Knows the names of classes under the project's taxonomy; None: names are compared as they are.
    """
    if concerned_sha256(item.finding, then.annotations) != item.labels_sha256:
        return False
    return _subject(item.finding, then, carrier) == _subject(finding, now, carrier)


def _subject(finding: Finding, content: Content, carrier: Carrier | None) -> str:
    """Return a hash of everything that a finding is about."""
    labels = labels_by_id(_by_present_names(content, carrier))
    names = concerned_ids(finding, labels.values())
    streams = {*finding.streams, *(labels[name].stream for name in names if name in labels)}
    manifest = content.manifest
    read = {asset.stream: asset.sha256 for asset in content.assets if asset.role == "stream"}
    subject: dict[str, Any] = {
        "labels": labels_sha256(names, labels),
        "streams": {
            stream.id: _stream(stream, read) for stream in manifest.streams if stream.id in streams or not streams
        },
    }
    if not finding.annotations:
        subject["context"] = manifest.context.model_dump(mode="json", exclude_none=True, exclude={"risk"})
        subject["captured_at"] = None if manifest.captured_at is None else manifest.captured_at.isoformat()
    return content_sha256(subject)


def _stream(stream: Stream, read: Mapping[str, str]) -> dict[str, Any]:
    """Return a stream by its content: where that was read from does not matter."""
    told = stream.model_dump(mode="json", exclude_none=True, exclude={"uri", "sha256"})
    return {**told, "content": read.get(stream.id) or stream.sha256 or stream.uri}


def _by_present_names(content: Content, carrier: Carrier | None) -> Annotations:
    """Return the labels with their classes as the taxonomy calls them now, where that is all that may have changed."""
    if carrier is None:
        return content.annotations
    uses = uses_of(content.manifest, content.annotations)
    plan = carrier.plan(replace(use, version=use.version or content.taxonomy) for use in uses)
    renamed = SamplePlan(tuple((use, fate) for use, fate in plan.fates if fate.outcome in _SAME_CLASS))
    return carrier.carried(content.annotations, renamed)
