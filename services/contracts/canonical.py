"""One byte form for one value: what is hashed, signed and compared.

The form is JSON with sorted keys, no white space, UTF-8, and numbers as Python's shortest round-trip text
(the same idea as RFC 8785, except that integers and floats stay distinct).
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from services.errors import MalformedJsonError

MAX_DEPTH = 32

# A string without an end goes to the end of the text, so that no later quote is tried as its beginning.
_STRINGS = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_BRACKETS = re.compile(r"[\[\]{}]")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def canonical_json(value: Any) -> bytes:
    """Return the canonical bytes of a JSON value or a contract model.

    Raises:
        ValueError: A number is NaN or infinite.
    """
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_none=True)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    if "-0.0" in text:
        # The zeros are equal, and PostgreSQL's jsonb keeps only one of them (as does RFC 8785).
        text = json.dumps(_one_zero(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def _one_zero(value: Any) -> Any:
    if isinstance(value, float):
        return value + 0.0  # -0.0 + 0.0 is 0.0
    if isinstance(value, dict):
        return {key: _one_zero(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_one_zero(item) for item in value]
    return value


def content_sha256(value: Any) -> str:
    """Return the lower-case hex SHA-256 of the canonical form of ``value``."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def _refuse_constant(token: str) -> float:
    raise MalformedJsonError(f"{token} is not a JSON number; send a finite number or leave the field out")


def _finite_float(token: str) -> float:
    number = float(token)
    if number in (float("inf"), float("-inf")):
        raise MalformedJsonError(f"the number {token[:40]} is too large for a double; send a finite number")
    return number


def _bounded_int(token: str) -> int:
    if len(token) > 20:
        raise MalformedJsonError(f"the integer {token[:20]}… has more than 19 digits; send a smaller one")
    return int(token)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise MalformedJsonError(f"the key {key[:80]!r} stands twice in one object; keep one of them")
        result[key] = value
    return result


_DECODER = json.JSONDecoder(
    parse_constant=_refuse_constant,
    parse_float=_finite_float,
    parse_int=_bounded_int,
    object_pairs_hook=_unique_keys,
)


def time_text(moment: datetime) -> str:
    """Return the one text of an aware moment, to the microsecond, which is what the database stores."""
    return moment.isoformat(timespec="microseconds")


def _refuse_depth(text: str) -> None:
    # Counted before parsing, so that a deep document costs no recursion at all.
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub("", text)):
        if bracket in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise MalformedJsonError(f"nested deeper than {MAX_DEPTH} levels; flatten the document")
        else:
            depth -= 1


def parse_json(raw: bytes) -> Any:
    """Parse JSON strictly: UTF-8, finite numbers, unique keys, no NUL, no lone surrogate, at most 32 levels.

    Raises:
        MalformedJsonError: With the line and column, or the reason, and what to change.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedJsonError(f"byte {error.start} is not UTF-8; encode the document as UTF-8") from error
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _refuse_depth(text)
    try:
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite_float,
            parse_int=_bounded_int,
            object_pairs_hook=_unique_keys,
        )
    except json.JSONDecodeError as error:
        raise MalformedJsonError(f"{error.msg} at line {error.lineno}, column {error.colno}") from error
    if "\\u0000" in text or "\x00" in text or _SURROGATE_ESCAPE.search(text):
        _refuse_unstorable(value, "")
    return value


def parse_json_at(text: str, start: int) -> tuple[Any, int]:
    """Parse the JSON value that begins at ``start`` as strictly as :func:`parse_json`; what follows it is not read.

    Returns:
        The value, and where it ends.

    Raises:
        json.JSONDecodeError: The text is no JSON there, or ends within the value.
        MalformedJsonError: A value that Concord does not read, with the reason.
    """
    try:
        value, end = _DECODER.raw_decode(text, start)
    except RecursionError:
        raise MalformedJsonError(f"nested deeper than {MAX_DEPTH} levels; flatten the document") from None
    piece = text[start:end]
    if piece.count("[") + piece.count("{") > MAX_DEPTH:
        _refuse_depth(piece)
    if "\\u0000" in piece or "\x00" in piece or _SURROGATE_ESCAPE.search(piece):
        _refuse_unstorable(value, "")
    return value, end


def _refuse_unstorable(value: Any, pointer: str) -> None:
    # Neither NUL nor half of a surrogate pair is text that UTF-8 or PostgreSQL can hold.
    if isinstance(value, str):
        if "\x00" in value:
            fault = "contains the NUL character U+0000; remove it"
        elif any("\ud800" <= character <= "\udfff" for character in value):
            fault = "contains half of a surrogate pair; send the whole character"
        else:
            return
        raise MalformedJsonError(f"a string {fault}", places=((pointer or "/", fault),))
    if isinstance(value, dict):
        for key, item in value.items():
            name = key.replace("~", "~0").replace("/", "~1").encode("ascii", "backslashreplace").decode()
            _refuse_unstorable(key, f"{pointer}/{name}".replace("\x00", "\\u0000"))
            _refuse_unstorable(item, f"{pointer}/{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_unstorable(item, f"{pointer}/{index}")
