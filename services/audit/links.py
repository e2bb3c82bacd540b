"""Walk a project's audit chain link by link: edits, gaps, new orders, cuts, and a head that says otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from services.audit.chain import GENESIS_SHA256, recomputed
from services.audit.faults import fault
from services.audit.personal import is_redacted, personal_faults
from services.contracts.records import AuditEntry
from services.contracts.verification import Anchor, Fault


class ChainWalk:
    """Follows a chain whose entries come in order of their sequence, in any portions.

    Attributes:
        last: The newest link seen, None before the first.
        entries: How many entries were seen.
        redacted: Of how many the personal text was erased.
    """

    def __init__(self, anchors: Iterable[Anchor] = ()) -> None:
        self._anchors: dict[int, set[str]] = {}
        for anchor in anchors:
            self._anchors.setdefault(anchor.sequence, set()).add(anchor.sha256)
        self.last: Anchor | None = None
        self.entries = 0
        self.redacted = 0

    @property
    def sequence(self) -> int:
        """Sequence of the newest link seen; 0 before the first."""
        return 0 if self.last is None else self.last.sequence

    def follow(self, entries: Iterable[AuditEntry]) -> Iterator[Fault]:
        """Yield what is wrong with the next entries."""
        for entry in entries:
            yield from self._follow_one(entry)
            self.last = Anchor(sequence=entry.sequence, sha256=entry.sha256)
            self.entries += 1

    def _follow_one(self, entry: AuditEntry) -> Iterator[Fault]:
        subject = entry_name(entry.sequence)
        if entry.sequence != self.sequence + 1:
            yield fault("sequence-gap", subject, f"entries {self.sequence + 1} to {entry.sequence - 1} are not there")
        previous = GENESIS_SHA256 if self.last is None else self.last.sha256
        if entry.previous_sha256 != previous:
            yield fault("chain-broken", subject, f"it follows {entry.previous_sha256}, but before it stands {previous}")
        digest = recomputed(entry).sha256
        if digest != entry.sha256:
            yield fault("entry-edited", subject, f"its content has the hash {digest}, not {entry.sha256}")
        yield from personal_faults(subject, entry)
        self.redacted += is_redacted(entry)
        if self._anchors.pop(entry.sequence, {entry.sha256}) != {entry.sha256}:
            yield fault("anchor-mismatch", subject, f"its hash is {entry.sha256}, the anchor says otherwise")

    def skip(self) -> Iterator[Fault]:
        """Step over an entry that can not be read."""
        yield fault("entry-unreadable", entry_name(self.sequence + 1), "it is no audit entry")
        self.last = Anchor(sequence=self.sequence + 1, sha256=GENESIS_SHA256)
        self.entries += 1

    def end(self, head: tuple[int, str]) -> Iterator[Fault]:
        """Yield what is wrong with the chain's end.

        Args:
            head: Sequence and hash of the newest entry, as the chain's head states it.
        """
        sequence, sha256 = head
        if sequence > self.sequence:
            yield fault("chain-truncated", entry_name(sequence), f"the newest entry that is there is {self.sequence}")
        elif sequence < self.sequence:
            yield fault("head-mismatch", entry_name(self.sequence), f"the head says that {sequence} is the newest")
        elif sha256 != (GENESIS_SHA256 if self.last is None else self.last.sha256):
            yield fault("head-mismatch", entry_name(sequence), f"the head says that its hash is {sha256}")
        for anchored in sorted(self._anchors):
            yield fault("anchor-missing", entry_name(anchored), "the anchored entry is not in the chain")


def entry_name(sequence: int) -> str:
    """Return how a report names an audit entry."""
    return f"audit/{sequence}"
