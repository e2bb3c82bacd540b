"""Merkle trees as RFC 6962, section 2.1, defines them, over SHA-256.

A leaf is hashed with the prefix 0x00 and an inner node with 0x01, so that neither can be taken for the other. The tree
of n > 1 leaves is split at the largest power of two below n. Leaves are added one by one; what is kept is one hash for
each perfect subtree, O(log n).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

_LEAF, _NODE = b"\x00", b"\x01"
EMPTY_ROOT = hashlib.sha256(b"").hexdigest()


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(_LEAF + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return hashlib.sha256(_NODE + left + right).digest()


@dataclass(frozen=True, slots=True)
class _Subtree:
    first: int
    size: int
    digest: bytes

    def holds(self, index: int | None) -> bool:
        return index is not None and self.first <= index < self.first + self.size


class MerkleTree:
    """Takes leaves in their order and answers the root and, for one of them, the way up to it.

    Args:
        prove: Index of the leaf whose way up is kept; None keeps none.
    """

    def __init__(self, *, prove: int | None = None) -> None:
        self._subtrees: list[_Subtree] = []
        self._prove = prove
        self._path: list[bytes] = []
        self._size = 0

    @property
    def size(self) -> int:
        """How many leaves were added."""
        return self._size

    def add(self, data: bytes) -> None:
        """Add the next leaf."""
        self._subtrees.append(_Subtree(self._size, 1, leaf_hash(data)))
        self._size += 1
        while len(self._subtrees) > 1 and self._subtrees[-2].size == self._subtrees[-1].size:
            right, left = self._subtrees.pop(), self._subtrees.pop()
            self._subtrees.append(self._joined(left, right, self._path))

    def root(self) -> str:
        """Return the root as lower-case hex; of no leaves, the hash of nothing."""
        return self._close([])

    def path(self) -> tuple[str, ...]:
        """Return the hashes beside the way from the leaf to the root, the lowest first.

        Raises:
            IndexError: There is no such leaf.
        """
        if self._prove is None or not 0 <= self._prove < self._size:
            raise IndexError(self._prove)
        path = [*self._path]
        self._close(path)
        return tuple(digest.hex() for digest in path)

    def _close(self, path: list[bytes]) -> str:
        if not self._subtrees:
            return EMPTY_ROOT
        *rest, tree = self._subtrees
        for left in reversed(rest):
            tree = self._joined(left, tree, path)
        return tree.digest.hex()

    def _joined(self, left: _Subtree, right: _Subtree, path: list[bytes]) -> _Subtree:
        if left.holds(self._prove):
            path.append(right.digest)
        elif right.holds(self._prove):
            path.append(left.digest)
        return _Subtree(left.first, left.size + right.size, node_hash(left.digest, right.digest))


def proves(data: bytes, index: int, size: int, path: Sequence[str], root: str) -> bool:
    """Whether a path proves that a leaf is in the tree with this root (RFC 9162, section 2.1.3.2).

    Args:
        data: The leaf.
        index: Its index, from 0.
        size: How many leaves the tree has.
        path: The hashes beside the way up, hex, the lowest first.
        root: The root, hex.
    """
    if not 0 <= index < size:
        return False
    node, last, digest = index, size - 1, leaf_hash(data)
    for text in path:
        if last == 0:
            return False
        sibling = bytes.fromhex(text)
        if node & 1 or node == last:
            digest = node_hash(sibling, digest)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            digest = node_hash(digest, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and digest.hex() == root
