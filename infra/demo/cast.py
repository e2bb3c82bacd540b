"""The people of the demonstration: what each decides when a task is in front of them.

A played person knows how the scene really is, as somebody who looks at the recordings would, and nothing of what was
injected. They see the evidence that the service shows, compare the labels with the scene, and decide.
"""

from __future__ import annotations

from services.contracts.annotations import Annotation
from services.contracts.findings import LabelPatch
from services.contracts.manifest import SampleManifest
from services.contracts.review import DecisionInput, Evidence, TaskKind, Verdict

RECORDING_KINDS = frozenset({"calibration_shift", "time_offset"})


def difference(labels: tuple[Annotation, ...], truth: SampleManifest) -> LabelPatch | None:
    """Return the patch that turns ``labels`` into the labels of ``truth``, or None if they say the same."""
    now = {label.id: _essence(label) for label in labels}
    wanted = {label.id: _essence(label) for label in truth.annotations}
    upsert = tuple(label for label in truth.annotations if now.get(label.id) != wanted[label.id])
    remove = tuple(sorted(now.keys() - wanted.keys()))
    if not upsert and not remove:
        return None
    return LabelPatch(upsert=upsert, remove=remove)


def _essence(label: Annotation) -> Annotation:
    """Return the label without who made it: two people may draw the same box."""
    return label.model_copy(update={"author": None})


def decide(evidence: Evidence, truth: SampleManifest, fence: int) -> DecisionInput:
    """Return what a careful person decides.

    Args:
        evidence: What the service shows beside the task.
        truth: The sample as it really is.
        fence: From the claim.
    """
    if evidence.task.kind in (TaskKind.ANNOTATE, TaskKind.REWORK):
        return DecisionInput(verdict=Verdict.SUBMIT, fence=fence, annotations=truth.annotations)
    kinds = {(stored.finding.check, stored.finding.kind) for stored in evidence.findings}
    beyond_labels = any(check == "context_gate" or kind in RECORDING_KINDS for check, kind in kinds)
    if evidence.task.kind is TaskKind.ADJUDICATE and beyond_labels:
        return _judge_recording(kinds, fence)
    if beyond_labels:
        return DecisionInput(verdict=Verdict.ESCALATE, fence=fence, note="No change of labels can mend this.")
    patch = difference(evidence.annotations, truth)
    if patch is None:
        return DecisionInput(verdict=Verdict.APPROVE, fence=fence, note="The labels fit what the recordings show.")
    lost_box = ("lidar_camera", "unmatched_cuboid") in kinds and len(patch.upsert) == 1 and not patch.remove
    drawn = {label.id for label in evidence.annotations}
    if evidence.task.kind is TaskKind.REVIEW and lost_box and patch.upsert[0].id not in drawn:
        return DecisionInput(verdict=Verdict.REJECT, fence=fence, note="A visible object has no box; please draw it.")
    return DecisionInput(verdict=Verdict.FIX, fence=fence, patch=patch, note="Corrected after the recordings.")


def _judge_recording(kinds: set[tuple[str, str]], fence: int) -> DecisionInput:
    if kinds == {("context_gate", "policy_expired")}:
        note = "The owner extended the policy; the renewal is on file."
        return DecisionInput(verdict=Verdict.ACCEPT_CONFLICT, fence=fence, reason_code="tolerated_by_policy", note=note)
    return DecisionInput(verdict=Verdict.DISCARD, fence=fence, note="Upstream must send this sample again, corrected.")
