"""Noun phrases of a text that the taxonomy does not name, and what they mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from services.alignment.meaning import Meanings
from services.alignment.text_tokens import (
    ADJECTIVES,
    ANY,
    COLOURS,
    DETERMINERS,
    FUNCTION_WORDS,
    NO,
    PICTURES,
    PLACES,
    PLENTY,
    STOPS,
    Token,
    number_of,
)
from services.taxonomy.words import singulars

_OPENERS = DETERMINERS | PLENTY | ANY | NO
_BEFORE_PLURALS = PLACES | STOPS | frozenset(("and", "with", "of", ",", ":"))
_MAX_WORDS = 2
_MAX_RUN = 3
_MIN_LETTERS = 3


@dataclass(frozen=True, slots=True)
class Mapped:
    """A phrase that is taken for a class.

    Attributes:
        first: Its first token.
        last: Its last token.
        class_id: The class.
        similarity: How near the two are, -1 to 1.
    """

    first: int
    last: int
    class_id: str
    similarity: float


def mapped_phrases(
    tokens: Sequence[Token], taken: frozenset[int], is_value: Callable[[str], bool], meanings: Meanings
) -> list[Mapped]:
    """Return the phrases that a class is clearly nearest to, in the text's order.

    Args:
        tokens: The text.
        taken: Tokens of nouns that the taxonomy names; they and what stands beside them are left alone.
        is_value: Whether a word is the value of an attribute.
        meanings: The classes.
    """
    runs = [list(_windows(run)) for run in _runs(tokens, taken, is_value)]
    flat = [window for run in runs for window in run]
    found = dict(zip(flat, meanings.nearest([_phrase(tokens, first, last) for first, last in flat]), strict=True))
    mapped: list[Mapped] = []
    for run in runs:
        near = [(meant, window) for window in run if (meant := found[window]) is not None]
        if near:
            meant, (first, last) = max(near, key=lambda item: (item[0].similarity, -item[1][0], item[1][1]))
            mapped.append(Mapped(first, last, meant.class_id, meant.similarity))
    return mapped


def _runs(tokens: Sequence[Token], taken: frozenset[int], is_value: Callable[[str], bool]) -> Iterator[list[int]]:
    """Yield the places of words that may be an unknown noun with what stands before it."""
    at = 0
    while at < len(tokens):
        run = []
        while at < len(tokens) and at not in taken and _is_content(tokens[at].word, is_value):
            run.append(at)
            at += 1
        # ``dog lead`` and ``sheep dog`` are of the noun that is known.
        if run and run[-1] + 1 not in taken and _opens(tokens, run, taken, is_value):
            yield run[:_MAX_RUN]
        at += 1


def _opens(tokens: Sequence[Token], run: Sequence[int], taken: frozenset[int], is_value: Callable[[str], bool]) -> bool:
    before = run[0] - 1
    if before in taken:
        return False
    word = tokens[before].word if before >= 0 else "."
    if word in _OPENERS or word in ADJECTIVES or number_of(word) is not None or is_value(word):
        return True
    return word in _BEFORE_PLURALS and bool(singulars(tokens[run[0]].word))


def _is_content(word: str, is_value: Callable[[str], bool]) -> bool:
    return (
        len(word) >= _MIN_LETTERS
        and word[0].isalpha()
        and word not in FUNCTION_WORDS | ADJECTIVES | COLOURS | PICTURES
        and number_of(word) is None
        and not is_value(word)
    )


def _windows(run: Sequence[int]) -> Iterator[tuple[int, int]]:
    for place, first in enumerate(run):
        for last in run[place : place + _MAX_WORDS]:
            yield first, last


def _phrase(tokens: Sequence[Token], first: int, last: int) -> str:
    return " ".join(token.word for token in tokens[first : last + 1])
