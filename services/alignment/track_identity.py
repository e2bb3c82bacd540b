"""``track_identity``: does an object id mean one object, in every frame and every stream?

Labels with an ``object_id`` (``box``, ``track``, ``cuboid``, ``spatial_track``) are followed frame by frame in each
stream: where a constant velocity leads, by optimal assignment where objects are near each other, through gaps up to
``max_gap_frames``, never across classes. What the labelled ids then do differently is an event, reported once:
``switch``, ``swap``, ``split``, ``merge``, ``reuse``, ``duplicate_in_frame``, ``jump``, ``gap``, ``class_flip``. The
same event in several streams (the camera's boxes and the LiDAR's cuboids) is one finding. Between calibrated cameras,
directly or through cuboids, one id must be one object: ``cross_camera_mismatch``.

No ground truth is needed, and none of the measures that need one is claimed. The order of labels plays no role.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from services.alignment.frame_pairing import MAX_FRAME
from services.alignment.sample import CheckOutcome, CheckSample
from services.alignment.track_identity_cameras import Mismatch, find_mismatches
from services.alignment.track_identity_event import Event
from services.alignment.track_identity_events import find_events
from services.alignment.track_identity_patch import patch_of
from services.alignment.track_identity_rows import TrackTable, collect_tables
from services.contracts.findings import SEVERITY_ORDER, Finding, Measured, NotApplicable, Suggestion, finding_id
from services.rules.rule_set import RuleSet
from services.rules.track_identity import TrackIdentityKind, TrackIdentityRules

CHECK = "track_identity"
MAX_LISTED = 1_000
"""Labels and frames a finding names at most: the first ones."""


def check_track_identity(sample: CheckSample, rules: RuleSet) -> CheckOutcome:
    """Follow every object id through the sample.

    Args:
        sample: Labels without an ``object_id``, and ``ignore`` regions, are not judged.
        rules: The section ``track_identity``.
    """
    limits = rules.track_identity or TrackIdentityRules()
    tables: list[TrackTable] = []
    missing: list[NotApplicable] = []
    for table in collect_tables(sample, limits):
        reason = _reason_against(table, limits)
        if reason is None:
            tables.append(table)
        else:
            missing.append(NotApplicable(check=CHECK, reason=reason, streams=(table.stream,)))
    if not tables and not missing:
        reason = "no box, cuboid or track of the sample has an object_id"
        return CheckOutcome(not_applicable=(NotApplicable(check=CHECK, reason=reason),))
    events = [event for table in tables for event in find_events(table, limits)]
    told: Counter[str] = Counter()
    findings = []
    for group in _grouped(events):
        place = "|".join([group[0].kind, *sorted(group[0].names), str(group[0].frames[0]), group[0].table.stream])
        told[place] += 1
        findings.append(_finding(group, told[place], rules, limits))
    findings += [_camera_finding(mismatch, rules, limits) for mismatch in find_mismatches(sample, tables, limits)]
    return CheckOutcome(tuple(sorted(findings, key=lambda f: f.finding_id)), (), tuple(missing))


def _reason_against(table: TrackTable, limits: TrackIdentityRules) -> str | None:
    frames = len(table.frame_of_rank)
    if len(table) and (last := int(table.frames.max())) > MAX_FRAME:
        return f"stream {table.stream} has a label at frame {last}; ids are followed up to {MAX_FRAME}, so correct it"
    if frames < 2:
        return (
            f"stream {table.stream} is labelled in one frame; an identity needs two" if not table.extra.any() else None
        )
    appearances = len(table) / len(table.names)
    if appearances < min(limits.identity_frames, frames) and len(table.names) > 1 and appearances < 1.5:
        return (
            f"ids of stream {table.stream} are seen in {appearances:.2f} frames each: they number detections, "
            f"and name no objects"
        )
    return None


def _grouped(events: Sequence[Event]) -> list[list[Event]]:
    """Put together what happens to the same ids at the same time in several streams."""
    groups: dict[tuple[frozenset[str], int], list[Event]] = defaultdict(list)
    result: list[list[Event]] = []
    for event in sorted(events, key=lambda e: (e.table.space == "image", e.table.stream, e.frames[0], e.names)):
        group = groups[frozenset(event.names), event.frames[0]]
        same_table = any(other.table is event.table for other in group)
        alike = not group or {group[0].kind, event.kind} <= _ALIKE or group[0].kind == event.kind
        if same_table or not alike:
            result.append([event])
            continue
        if not group:
            result.append(group)
        group.append(event)
    return result


_ALIKE = {"switch", "swap", "split", "merge", "reuse", "jump", "gap"}


def _finding(events: Sequence[Event], ordinal: int, rules: RuleSet, limits: TrackIdentityRules) -> Finding:
    lead = max(events, key=lambda event: SEVERITY_ORDER[limits.severity_of(event.kind)])
    streams = tuple(dict.fromkeys(event.table.stream for event in events))
    rows = [(event.table, row) for event in events for row in event.rows]
    annotations = dict.fromkeys(table.sources[row].id for table, row in rows)
    for event in events:
        changed = (*event.renames, *event.relabels, *event.removes)
        annotations.update(dict.fromkeys(event.table.sources[row].id for row in changed[:MAX_LISTED]))
    frames = tuple(sorted({frame for event in events for frame in event.frames}))
    place = "|".join([*sorted(lead.names), str(lead.frames[0]), str(ordinal), lead.table.space])
    patch = patch_of(events)
    others = [stream for stream in streams if stream != lead.table.stream]
    also = f" The same in {', '.join(others)}." if others else ""
    value = lead.value if np.isfinite(lead.value) else 1e9
    return Finding(
        finding_id=finding_id(CHECK, lead.kind, rules.id, streams=streams, place=place),
        check=CHECK,
        kind=lead.kind,
        severity=limits.severity_of(lead.kind),
        message=f"{lead.message}{also}"[:2_000],
        measured=Measured(value=value, unit=lead.unit, threshold=lead.threshold),
        streams=streams,
        annotations=tuple(annotations)[:MAX_LISTED],
        frames=frames[:MAX_LISTED],
        rule=rules.reference,
        suggestion=None if patch is None else Suggestion(summary=_summary(_fixed(events)), patch=patch),
    )


def _camera_finding(mismatch: Mismatch, rules: RuleSet, limits: TrackIdentityRules) -> Finding:
    first, second = mismatch.first, mismatch.second
    streams = (first.stream, second.stream)
    kind: TrackIdentityKind = "cross_camera_mismatch"
    frames = tuple(sorted({int(first.frames[row]) for row, _ in mismatch.rows}))
    event = Event(
        kind,
        second,
        mismatch.names,
        frames,
        (),
        mismatch.message,
        mismatch.value,
        mismatch.unit,
        renames=mismatch.renames,
    )
    patch = patch_of([event])
    pairs = (source.id for a, b in mismatch.rows for source in (first.sources[a], second.sources[b]))
    return Finding(
        finding_id=finding_id(CHECK, kind, rules.id, streams=streams, place="|".join(sorted(mismatch.names))),
        check=CHECK,
        kind=kind,
        severity=limits.severity_of(kind),
        message=mismatch.message[:2_000],
        measured=Measured(value=min(mismatch.value, 1e9), unit=mismatch.unit, threshold=mismatch.threshold),
        streams=streams,
        annotations=tuple(dict.fromkeys(pairs))[:MAX_LISTED],
        frames=frames[:MAX_LISTED],
        rule=rules.reference,
        suggestion=None if patch is None else Suggestion(summary=_summary(event), patch=patch),
    )


def _fixed(events: Sequence[Event]) -> Event:
    return next(event for event in events if event.renames or event.relabels or event.removes)


def _summary(event: Event) -> str:
    if event.relabels:
        return f"Give {len(event.relabels)} labels of {event.names[0]} its usual class."
    if event.removes:
        return f"Remove the second of two labels of {event.names[0]} in {len(event.removes)} frames."
    targets = ", ".join(sorted(set(event.renames.values())))[:1_000]
    first = event.table.frames[list(event.renames)].min()
    return f"Rename {len(event.renames)} labels from frame {first} on to {targets}."
