"""Which split a sample belongs to: a function of its group and the policy alone."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from typing import Any

from services.contracts.canonical import canonical_json
from services.contracts.datasets import SplitPolicy
from services.errors import InvalidInputError

_LONGEST_GROUP = 400


def group_of(policy: SplitPolicy, body: Mapping[str, Any]) -> str:
    """Return the group of a record: its group fields as one text.

    Values that people write in several ways are one group (``7``, ``7.0`` and ``"7"``, capitals and small letters,
    spaces at the ends): two groups that are one in truth would leak, and one that is two in truth does no harm.

    Args:
        policy: The dataset's.
        body: Of the record.

    Raises:
        InvalidInputError: The record lacks a field, and the policy refuses that.
    """
    parts = []
    for field in policy.group_by:
        value = context_value(body, field.removeprefix("context.")) if field != "sample_id" else body["sample_id"]
        if value is None or not (text := _folded(value)):
            if policy.missing == "sample":
                return f"sample:{body['sample_id']}"
            raise InvalidInputError(
                f"sample {body['sample_id']!r} has no {field}, by which the dataset is split; select samples that have "
                'it, or say missing: "sample" for the dataset'
            )
        parts.append(text)
    group = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    return group if len(group) <= _LONGEST_GROUP else f"sha256:{hashlib.sha256(group.encode()).hexdigest()}"


def split_of(policy: SplitPolicy, group: str) -> str:
    """Return the split of a group: the first 64 bits of a salted SHA-256, spread by the weights."""
    digest = hashlib.sha256(canonical_json(["concord.split/1", policy.salt, group])).digest()
    total = sum(share.weight for share in policy.shares)
    place = int.from_bytes(digest[:8], "big") * total >> 64
    for share in policy.shares:
        if place < share.weight:
            return share.name
        place -= share.weight
    raise AssertionError("place lies below the sum of the weights")


def context_value(body: Mapping[str, Any], field: str) -> Any:
    """Return a field of a record's context, such as ``attributes.weather``; None where it is not there."""
    value: Any = body.get("context", {})
    first, _, rest = field.partition(".")
    # The name of an attribute may have dots of its own.
    for name in (first, rest) if rest else (first,):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def _folded(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return " ".join(unicodedata.normalize("NFKC", str(value)).casefold().split())
