"""Apply an ordered fix to one sample, under the sample's lock: labels in place, or a manifest as its next revision."""

from __future__ import annotations

from dataclasses import dataclass

from services.contracts.canonical import content_sha256
from services.contracts.events import EventType, IncomingEvent
from services.contracts.incidents import Incident, IncidentFix, IncidentMember, MemberState
from services.contracts.label_base import Author
from services.contracts.lifecycle import RevisionRef
from services.contracts.manifest import SampleManifest
from services.contracts.records import ProjectConfig, SampleRevision
from services.contracts.review import StoredFinding
from services.errors import CorrectionUnfitError
from services.incidents.corrections import apply_correction
from services.incidents.telling import note_member
from services.lifecycle.revisions import open_revision
from services.ports.database import Transaction

CARRIED_ORIGIN = "incident"
"""Origin of labels that a fix made, or carried over to the revision with the corrected manifest."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying a fix did to a sample.

    Attributes:
        fits: Whether it changed anything; otherwise the finding is left to people.
        replaced: Whether the sample goes on as a new revision.
    """

    fits: bool
    replaced: bool = False


async def apply_fix(
    tx: Transaction,
    revision: SampleRevision,
    incident: Incident,
    fix: IncidentFix,
    member: IncidentMember,
    stored: StoredFinding,
    config: ProjectConfig,
) -> Applied:
    """Apply a fix to one member, once: what was applied is noted in the same transaction.

    Args:
        tx: The transaction; the revision and the incident's cause are locked in it.
        revision: The member's revision.
        incident: The incident.
        fix: Its fix.
        member: The member, whose fix is ordered.
        stored: Its finding.
        config: The project's settings.
    """
    labels = await tx.samples.label_set(revision.ref)
    annotations = labels.annotations if labels is not None else ()
    try:
        corrected = apply_correction(fix.correction, stored.finding, revision.manifest, annotations)
    except CorrectionUnfitError as error:
        await note_member(tx, member, MemberState.LEFT, reason=f"The fix does not fit: {error.detail}.")
        return Applied(fits=False)
    if corrected.manifest == revision.manifest:
        author = Author(kind="human", id=fix.ordered_by)
        made = await tx.samples.add_label_set(
            revision.ref,
            corrected.annotations,
            origin=CARRIED_ORIGIN,
            author=author,
            incident_id=incident.incident_id,
        )
        await note_member(tx, member, MemberState.APPLIED, label_version=made.version)
        return Applied(fits=True)
    event = _event(revision.ref, incident, corrected.manifest)
    following = revision.ref.model_copy(update={"revision": revision.ref.revision + 1})
    # Before the revision ends, which would let go of its memberships.
    await note_member(tx, member, MemberState.APPLIED, ref=following)
    await open_revision(tx, corrected.manifest, event, config=config)
    await tx.inbox.add(event, following, via="http")
    if labels is not None:
        await tx.samples.add_label_set(
            following,
            labels.annotations,
            origin=CARRIED_ORIGIN,
            author=labels.author,
            incident_id=incident.incident_id,
        )
    return Applied(fits=True, replaced=True)


def _event(ref: RevisionRef, incident: Incident, manifest: SampleManifest) -> IncomingEvent:
    """Return the event by which the corrected manifest comes in, as upstream would have sent it."""
    kind = EventType.SAMPLE_UPDATED.value
    data = manifest.model_dump(mode="json", exclude_none=True)
    return IncomingEvent(
        source=f"concord:incidents:{incident.incident_id}",
        id=f"{ref.sample_id}/{ref.revision + 1}",
        type=kind,
        subject=ref.sample_id,
        data=data,
        content_sha256=content_sha256({"type": kind, "subject": ref.sample_id, "data": data}),
    )
