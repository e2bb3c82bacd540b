"""What a new check run means for the findings that are known already. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from services.contracts.annotations import Annotations
from services.contracts.findings import CheckReport, Finding
from services.contracts.lifecycle import RevisionRef
from services.contracts.review import FindingState, StoredFinding
from services.review.authorship import concerned_sha256
from services.review.earlier import CLOSED, ClosedBefore
from services.review.labels import labels_by_id
from services.rules.rule_set import RuleSet


def merge_findings(
    stored: tuple[StoredFinding, ...],
    report: CheckReport,
    *,
    ref: RevisionRef,
    rules: RuleSet,
    annotations: Annotations,
    label_version: int,
    now: datetime,
    decision_of_version: Mapping[int, UUID] | None = None,
    closed_before: Mapping[str, ClosedBefore] | None = None,
) -> tuple[StoredFinding, ...]:
    """Return all findings of a revision after a check run, by finding id.

    =====================  ==============================================  ===================================
    was                    found                                           not found
    =====================  ==============================================  ===================================
    unknown                open; noted below the blocking severity;        (nothing)
                           closed as it was in an earlier revision
    open, noted            open; noted below the blocking severity         resolved
    fixed                  open again                                      resolved, with the fix
    dismissed, accepted    stays while its labels are the same, else open  stays while they are, else resolved
    resolved               open again                                      resolved
    =====================  ==============================================  ===================================

    A finding that is now folded under a cause is noted: it is still there, and its cause asks for it. A finding
    whose check could not be run is left open, because a missing input is no pass.

    The result depends on what is given, not on its order, and merging the same report again changes nothing.

    Args:
        stored: All findings known.
        report: The check run's.
        ref: The revision.
        rules: The rule set of the run.
        annotations: The labels that were checked.
        label_version: Their version.
        now: For findings that change.
        decision_of_version: The decision that made a label version, where one did.
        closed_before: From :func:`services.review.earlier.still_closed`.
    """
    context = _Context(ref, rules, annotations, label_version, now, decision_of_version or {}, closed_before or {})
    known = {item.finding.finding_id: item for item in stored}
    found = {finding.finding_id: finding for finding in report.findings}
    folded = {finding.finding_id: finding for finding in report.folded if finding.finding_id not in found}
    merged: dict[str, StoredFinding] = {}
    for name, finding in found.items():
        merged[name] = context.found(known.get(name), finding)
    for name, item in known.items():
        if name in folded:
            merged[name] = context.folded(item, folded[name])
        elif name not in found:
            merged[name] = item if _could_not_run(item, report, rules) else context.not_found(item)
    return tuple(merged[name] for name in sorted(merged))


def _could_not_run(item: StoredFinding, report: CheckReport, rules: RuleSet) -> bool:
    """Whether an open finding is missing from the report only because its check had no input."""
    finding = item.finding
    section = getattr(rules, finding.check, None)
    if item.state is not FindingState.OPEN or (section is not None and not section.enabled):
        return False
    ran = any(other.check == finding.check for other in report.findings)
    streams = frozenset(finding.streams)
    return any(
        skipped.check == finding.check and (bool(streams & frozenset(skipped.streams)) if skipped.streams else not ran)
        for skipped in report.not_applicable
    )


class _Context:
    """The check run's side of the merge."""

    def __init__(
        self,
        ref: RevisionRef,
        rules: RuleSet,
        annotations: Annotations,
        label_version: int,
        now: datetime,
        decision_of_version: Mapping[int, UUID],
        closed_before: Mapping[str, ClosedBefore],
    ) -> None:
        self._ref = ref
        self._rules = rules
        self._labels = labels_by_id(annotations)
        self._version = label_version
        self._now = now
        self._decision_of_version = decision_of_version
        self._closed_before = closed_before

    def found(self, item: StoredFinding | None, finding: Finding) -> StoredFinding:
        blocking = self._rules.blocks(finding)
        state = FindingState.OPEN if blocking else FindingState.NOTED
        digest = concerned_sha256(finding, self._labels)
        if item is None:
            closed = self._closed_before.get(finding.finding_id)
            return StoredFinding(
                ref=self._ref,
                finding=finding,
                state=state if closed is None else closed.state,
                blocking=blocking,
                labels_sha256=digest,
                label_version=self._version,
                decision_id=None if closed is None else closed.decision_id,
                decision_revision=None if closed is None else closed.revision,
                found_at=self._now,
                updated_at=self._now,
            )
        stays = self._stays(item, digest)
        return self._changed(
            item,
            finding=finding,
            state=item.state if stays else state,
            blocking=blocking,
            labels_sha256=digest,
            label_version=self._version,
            decision_id=item.decision_id if stays else None,
            decision_revision=item.decision_revision if stays else None,
            fixed_by_label_version=None,
        )

    def folded(self, item: StoredFinding, finding: Finding) -> StoredFinding:
        digest = concerned_sha256(finding, self._labels)
        stays = self._stays(item, digest)
        return self._changed(
            item,
            finding=finding,
            state=item.state if stays else FindingState.NOTED,
            blocking=item.blocking if stays else False,
            labels_sha256=digest,
            label_version=self._version,
            decision_id=item.decision_id if stays else None,
            decision_revision=item.decision_revision if stays else None,
            fixed_by_label_version=None,
        )

    def not_found(self, item: StoredFinding) -> StoredFinding:
        if item.state is FindingState.RESOLVED:
            return item
        digest = concerned_sha256(item.finding, self._labels)
        if self._stays(item, digest):
            return item
        fixed_by = item.fixed_by_label_version or (self._version if self._version > item.label_version else None)
        decision_id = item.decision_id if item.state is FindingState.FIXED else None
        return self._changed(
            item,
            state=FindingState.RESOLVED,
            labels_sha256=digest,
            fixed_by_label_version=fixed_by,
            decision_id=decision_id or self._decision_of_version.get(fixed_by or 0),
            decision_revision=None,
        )

    def _stays(self, item: StoredFinding, digest: str) -> bool:
        """Whether people have closed a finding, and its labels are those that they judged."""
        same = item.labels_sha256 == digest or item.finding.finding_id in self._closed_before
        return item.state in CLOSED and same

    def _changed(self, item: StoredFinding, **update: object) -> StoredFinding:
        after = item.model_copy(update=update)
        return item if after == item else after.model_copy(update={"updated_at": self._now})
