"""What one project may take of what all projects share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from services.errors import UnavailableError


class ProjectShares:
    """Places that each project has its own number of.

    Nobody waits here: whoever finds no place is to come again later, and keeps nothing occupied until then.

    Args:
        most: Places of one project.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: Counter[str] = Counter()

    @contextmanager
    def place(self, project: str) -> Iterator[None]:
        """Hold one of the project's places.

        Raises:
            UnavailableError: All of them are taken; come again.
        """
        if self._taken[project] >= self._most:
            raise UnavailableError(f"{self._most} samples of {project!r} are with its models; this one comes again")
        self._taken[project] += 1
        try:
            yield
        finally:
            self._taken[project] -= 1
            if not self._taken[project]:
                del self._taken[project]
