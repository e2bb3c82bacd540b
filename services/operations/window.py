"""The window over which a project is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Window:
    """The time that is looked at.

    Attributes:
        since: Its beginning.
        now: Its end.
        pieces: How many equal pieces it is shown in.
    """

    since: datetime
    now: datetime
    pieces: int

    @property
    def piece(self) -> timedelta:
        """Length of a piece."""
        return (self.now - self.since) / self.pieces
