"""Strategies that damage documents: cut off, changed byte by byte, re-encoded, and JSON with a value exchanged.

An example is drawn as one number, from which a generator makes all choices: drawing each of them from Hypothesis takes
longer than reading the document that comes of it. What fails is told with the damaged document itself.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

PER_EXAMPLE = timedelta(seconds=20)
"""Thousands of times what a small document takes: what needs longer grows out of bounds."""

Item = TypeVar("Item")
_CAMPAIGN = int(os.environ.get("CONCORD_FUZZ_EXAMPLES", "0"))

_MARKS = (
    b"0", b"-", b"9", b'"', b"<", b">", b"{", b"}", b"[", b"]", b",", b":", b";", b"\n", b"\r", b" ", b"\t", b"\x00",
    b"\xff", b"\xc3", b"e", b"E", b".", b"/", b"&", b"\\", b"nan", b"inf", b"1e999", b"1e308", b"-1", b"9" * 30,
    b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\xc2\x85", b"-->", b"<!--", b"]]>", b"&amp;", b"null", b"{}",
    b"[]", b'""', b"[" * 100_000, b'{"a":' * 100_000, b"<a>" * 40, b" " * 3_000, b'\\"' * 3_000,
)  # fmt: skip
_LINE_ENDS = (b"\r\n", b"\r", b"\n\n", b"\r\r\n", b"\x0b", b"\x0c", b"\xc2\x85", b"\xe2\x80\xa8", b" ", b"")
_ENCODINGS = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252", "cp037", "utf-7", "utf-8-sig")
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_STRANGE_NUMBERS = (
    b"0", b"-0", b"-1", b"-1e-320", b"1e308", b"-1e308", b"1e400", b"nan", b"NaN", b"-inf", b"Infinity", b"1e12",
    b"1000000000001", b"2147483648", b"-9007199254740993", b"9" * 19, b"9" * 400, b"9" * 5_000, b"0.5", b"1_0", b"0x10",
    b"1,5", b"\xd9\xa3", b"", b"1.", b".5", b"+1", b"--1", b"1e", b"true", b"[]",
)  # fmt: skip

_STRANGE: list[Any] = [
    None, True, False, 0, 1, -1, 0.5, -0.0, 1e-320, 1e12, -1e12, 1.1e12, 1e300, 2**31, 2**53, 2**53 + 1, 10**18,
    10**30, math.nan, math.inf, -math.inf, "", " ", "0", "x", "nan", "a/b~c", "é\u2028\U0001f600", "\x00", "\ud800",
    "x" * 3_000, "9" * 400, "../../etc/passwd", [], {}, [[]], [{}], [None], {"": {}}, {"id": None}, {"a": [1, "b"]},
    [0] * 7, ["x"] * 3, [[0, 1], [2]], [1e308] * 4, [math.nan] * 4, {"x": "y" * 300},
]  # fmt: skip


def examples(count: int) -> settings:
    """As many examples as a test run can afford, each within a generous time; more in a campaign by hand.

    ``CONCORD_FUZZ_EXAMPLES=5000`` runs every test of damaged input with that many.
    """
    return settings(
        max_examples=_CAMPAIGN or count,
        deadline=PER_EXAMPLE,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.function_scoped_fixture,
            HealthCheck.filter_too_much,
        ],
    )


class _Chance:
    """A generator that chooses."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def below(self, count: int) -> int:
        return int(self._rng.integers(count))

    def one_of(self, items: Sequence[Item]) -> Item:
        return items[self.below(len(items))]

    def bytes(self) -> bytes:
        return self._rng.bytes(1 + self.below(3))


_SEEDS = st.integers(0, 2**63 - 1)


def damaged(data: bytes) -> st.SearchStrategy[bytes]:
    """``data`` cut off anywhere, or with a few changes."""
    return _SEEDS.map(lambda seed: _damaged(data, _Chance(seed)))


def damaged_json(data: bytes) -> st.SearchStrategy[bytes]:
    """A JSON document with values exchanged, or damaged as text."""

    def change(seed: int) -> bytes:
        chance = _Chance(seed)
        return _damaged(data, chance) if chance.below(4) == 0 else json_bytes(_exchanged(json.loads(data), chance))

    return _SEEDS.map(change)


def exchanged(document: Any) -> st.SearchStrategy[Any]:
    """A copy of a JSON value in which up to three values are others, are gone, stand twice or stand elsewhere."""
    data = json.dumps(document)
    return _SEEDS.map(lambda seed: _exchanged(json.loads(data), _Chance(seed)))


def json_bytes(value: Any) -> bytes:
    """``value`` as JSON, also where it is none, as with NaN or half of a surrogate pair."""
    return json.dumps(value).encode()


def _damaged(data: bytes, chance: _Chance) -> bytes:
    way = chance.one_of(["cut", "edit", "edit", "edit", "number", "number", "lines", "encoding", "ends"])
    if way == "cut":
        return data[: chance.below(max(len(data), 1))]
    if way == "encoding":
        return data.decode("utf-8", "replace").encode(chance.one_of(_ENCODINGS), "replace")
    if way == "ends":
        return data.replace(b"\n", chance.one_of(_LINE_ENDS))
    for _ in range(1 + chance.below(3)):
        data = {"edit": _edited, "number": _renumbered, "lines": _relined}[way](data, chance)
    return data


def _edited(data: bytes, chance: _Chance) -> bytes:
    start = chance.below(len(data) + 1)
    end = min(len(data), start + chance.one_of([0, 0, 1, 1, 2, 5, 40, 400]))
    piece = chance.one_of([b"", chance.one_of(_MARKS), chance.one_of(_MARKS), chance.bytes()])
    if chance.below(10) == 0:
        piece = data[start:end] * chance.one_of([2, 3, 40])
    return data[:start] + piece + data[end:]


def _renumbered(data: bytes, chance: _Chance) -> bytes:
    found = list(_NUMBER.finditer(data))
    if not found:
        return data
    place = chance.one_of(found)
    return data[: place.start()] + chance.one_of(_STRANGE_NUMBERS) + data[place.end() :]


def _relined(data: bytes, chance: _Chance) -> bytes:
    lines = data.splitlines(keepends=True)
    if len(lines) < 2:
        return data
    at, other = chance.below(len(lines)), chance.below(len(lines))
    way = chance.one_of(["drop", "double", "swap", "blank"])
    if way == "drop":
        del lines[at]
    elif way == "double":
        lines.insert(other, lines[at])
    elif way == "swap":
        lines[at], lines[other] = lines[other], lines[at]
    else:
        lines[at] = b"\n"
    return b"".join(lines)


def _slots(document: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Return (object or array, key) for every value inside a document."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items:
        found.append((document, key))
        if isinstance(value, dict | list):
            _slots(value, found)
    return found


def _exchanged(document: Any, chance: _Chance) -> Any:
    for _ in range(1 + chance.below(3)):
        slots = _slots(document, []) if isinstance(document, dict | list) else []
        if not slots or chance.below(200) == 0:
            document = _value(slots, document, chance)
            continue
        here, key = chance.one_of(slots)
        old = here[key]
        way = chance.one_of(["value", "value", "value", "drop", "double", "rename"])
        if way == "drop":
            del here[key]
        elif way == "double" and isinstance(here, list):
            here.insert(chance.below(len(here) + 1), _copy(old))
        elif way == "rename" and isinstance(here, dict):
            here[chance.one_of([*here, "x", "", "id", "type"])] = here.pop(key)
        else:
            here[key] = _value(slots, old, chance)
    return document


def _value(slots: list[tuple[Any, Any]], old: Any, chance: _Chance) -> Any:
    way = chance.below(10)
    if way == 0:
        for _ in range(chance.one_of([3, 20, 31, 40])):
            old = [old]
        return old
    if way == 1 and slots:
        here, key = chance.one_of(slots)
        return _copy(here[key])
    if way == 2 and isinstance(old, str) and old:
        return chance.one_of([old * 300, old[:-1], old + "\n", " " + old, old.upper(), old[::-1]])
    if way == 3 and isinstance(old, list):
        return chance.one_of([old[:-1], old[:1], old * 2, old[::-1], [old]])
    if way == 4 and isinstance(old, int | float):
        return chance.one_of([-old, old + 1, old - 1, old * 1e6, str(old), old / 3, [old]])
    return _copy(chance.one_of(_STRANGE))


def _copy(value: Any) -> Any:
    return json.loads(json.dumps(value))
