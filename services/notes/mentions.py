"""Whom a text mentions."""

from __future__ import annotations

import re
from collections.abc import Collection

from services.contracts.notes import MAX_MENTIONS

# Not inside a word, so that an address of e-mail mentions nobody.
_NAME = re.compile(r"(?<![\w@.+-])@([A-Za-z0-9][A-Za-z0-9._:@+-]{0,199})")
_TRAILING = "._:@+-"


def named_in(text: str) -> tuple[str, ...]:
    """Return the names after ``@`` in a text, each once, in order; punctuation that ends a sentence is left out."""
    return tuple(dict.fromkeys(match[1].rstrip(_TRAILING) for match in _NAME.finditer(text)))


def mentions_of(text: str, people: Collection[str]) -> tuple[str, ...]:
    """Return which of these people a text mentions, in order, at most 50."""
    return tuple(name for name in named_in(text) if name in people)[:MAX_MENTIONS]
