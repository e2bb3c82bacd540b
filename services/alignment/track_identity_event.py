"""What happened to an id: the facts that a finding and its suggestion are made of."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.alignment.track_identity_rows import TrackTable
from services.rules.track_identity import TrackIdentityKind


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that went wrong with one or more ids of a table.

    Attributes:
        kind: What happened.
        table: Where.
        names: The object ids concerned.
        frames: The frames it shows in; the first tells the event.
        rows: Rows beside the break, or those that are wrong.
        message: One sentence.
        value: The number behind it.
        unit: Its unit.
        threshold: What it was compared with.
        renames: Row to the id that it should have.
        relabels: Row to the class that it should have.
        removes: Rows that are there twice.
    """

    kind: TrackIdentityKind
    table: TrackTable
    names: tuple[str, ...]
    frames: tuple[int, ...]
    rows: tuple[int, ...]
    message: str
    value: float
    unit: str
    threshold: float | None = None
    renames: dict[int, str] = field(default_factory=dict)
    relabels: dict[int, str] = field(default_factory=dict)
    removes: tuple[int, ...] = ()
