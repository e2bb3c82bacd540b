"""Words as people mean them, and how many of them differ."""

from __future__ import annotations

import re

from rapidfuzz.distance import Levenshtein

_EDGES = re.compile(r"^[^\w]+|[^\w]+$")
_CURLY = str.maketrans({"\u2019": "'"})


def folded_words(text: str) -> list[tuple[str, str]]:
    """Return (compared, written) of each word; what has no letter or digit is no word."""
    found = []
    for written in text.split():
        compared = _EDGES.sub("", written.casefold().translate(_CURLY))
        if compared:
            found.append((compared, written))
    return found


def word_errors(one: str, other: str) -> tuple[int, float]:
    """Return the fewest words to put in, leave out or replace, and the mean number of words of the two texts.

    Their quotient is the word error rate with either text as the reference in turn, since neither of two people is the
    reference of the other; the measure itself is that of the NIST speech recognition evaluations.
    """
    a, b = ([compared for compared, _ in folded_words(text)] for text in (one, other))
    return Levenshtein.distance(a, b), (len(a) + len(b)) / 2


def word_closeness(one: str, other: str) -> float:
    """Return one less the word errors over the words of the longer text; 1 where neither has a word."""
    a, b = ([compared for compared, _ in folded_words(text)] for text in (one, other))
    longest = max(len(a), len(b))
    return 1.0 - Levenshtein.distance(a, b) / longest if longest else 1.0
