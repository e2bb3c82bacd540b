"""What people closed before, and whether it still is what they closed. Pure functions.

A finding that was accepted or dismissed in an earlier revision of a sample is not asked about again while the labels
and the recordings that it is about are the same. One that names no label is about the recording itself: what the
manifest says of it, and of the sample, must be the same too. A label whose class was only renamed by the taxonomy is
the same; one whose class was merged with another, or split, is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from services.contracts.annotations import Annotations
from services.contracts.canonical import content_sha256
from services.contracts.findings import CheckReport, Finding
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


def still_closed(
    report: CheckReport,
    stored: Iterable[StoredFinding],
    now: Content,
    closings: Iterable[Closing],
    *,
    risk: Risk,
    rules: RuleSet,
    carrier: Carrier | None = None,
    before: Content | None = None,
) -> dict[str, ClosedBefore]:
    """Return which findings people closed before and need not be asked about again, by finding id.

    What the revision knows is closed or not by its own decisions; there only the names of classes may have changed.
    Of the rest, what an earlier revision closed stays closed. A verdict that is followed by a second one closes
    nothing by itself, be it that the risk of the sample or the rules ask for the second only now.

    Args:
        report: A check run's.
        stored: The revision's findings before the run.
        now: What was checked.
        closings: What people closed in earlier revisions.
        risk: Of the sample.
        rules: The project's rule set.
        carrier: Knows the names of classes under the project's taxonomy; None: names are compared as they are.
        before: The same with the labels as they were before they were carried over to the taxonomy, if they were.
    """
    known = {item.finding.finding_id: item for item in stored}
    earlier = {
        closing.item.finding.finding_id: closing
        for closing in closings
        if escalation_after(closing.decision, risk, rules) is None
    }
    contents = {closing.item.ref: closing.about for closing in earlier.values()}
    views = {ref: _View(about, carrier) for ref, about in contents.items()}
    view, own = _View(now, carrier), None if before is None else _View(before, carrier)
    kept = {}
    for finding in (*report.findings, *report.folded):
        name = finding.finding_id
        if name in known:
            item, then, revision = known[name], own, known[name].decision_revision
        elif name in earlier:
            item = earlier[name].item
            then, revision = views[item.ref], earlier[name].decision.ref.revision
        else:
            continue
        if then is not None and item.state in CLOSED and _is_unchanged(item, then, finding, view):
            kept[name] = ClosedBefore(item.state, item.decision_id, revision)
    return kept


class _View:
    """A revision's content, with its classes as the taxonomy calls them now where that is all that may have changed."""

    def __init__(self, content: Content, carrier: Carrier | None) -> None:
        self.manifest = content.manifest
        self.labels = labels_by_id(content.annotations)
        self._renamed = labels_by_id(_by_present_names(content, carrier))
        self._read = {asset.stream: asset.sha256 for asset in content.assets if asset.role == "stream"}

    def subject_sha256(self, finding: Finding) -> str:
        """Return the hash of everything that a finding is about."""
        labels, manifest = self._renamed, self.manifest
        names = concerned_ids(finding, labels.values())
        streams = {*finding.streams, *(labels[name].stream for name in names if name in labels)}
        recordings = [stream for stream in manifest.streams if stream.id in streams or not streams]
        subject: dict[str, Any] = {
            "labels": labels_sha256(names, labels),
            "recordings": {stream.id: _recording(stream, self._read) for stream in recordings},
        }
        if not finding.annotations:
            told = manifest.model_dump(mode="json", exclude_none=True, include={"captured_at", "context"})
            told["streams"] = [
                stream.model_dump(mode="json", exclude_none=True, exclude={"uri", "sha256"}) for stream in recordings
            ]
            # The risk says who must decide, and is asked for by itself.
            told["context"].pop("risk", None)
            subject["told"] = told
        return content_sha256(subject)


def _is_unchanged(item: StoredFinding, then: _View, finding: Finding, now: _View) -> bool:
    """Whether a finding is about just what people judged when they closed it."""
    judged = concerned_sha256(item.finding, then.labels) == item.labels_sha256
    return judged and then.subject_sha256(item.finding) == now.subject_sha256(finding)


def _recording(stream: Stream, read: Mapping[str, str]) -> Any:
    """Return what tells a stream's content from another: where it was read from does not, if it was read."""
    return stream.inline or read.get(stream.id) or stream.sha256 or stream.uri


def _by_present_names(content: Content, carrier: Carrier | None) -> Annotations:
    """Return the labels with their classes as the taxonomy calls them now, where that is all that may have changed."""
    if carrier is None:
        return content.annotations
    uses = uses_of(content.manifest, content.annotations)
    plan = carrier.plan(replace(use, version=use.version or content.taxonomy) for use in uses)
    renamed = SamplePlan(tuple((use, fate) for use, fate in plan.fates if fate.outcome in _SAME_CLASS))
    return carrier.carried(content.annotations, renamed)
