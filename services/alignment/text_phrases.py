"""Noun phrases of a text that the taxonomy does not name, and what they mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.alignment.meaning import Meanings, Meant
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
    runs = [(run, list(_windows(tokens, run, is_value))) for run in _runs(tokens, taken, is_value)]
    flat = list(dict.fromkeys(window for _, windows in runs for window in windows))
    found = dict(zip(flat, meanings.nearest([_phrase(tokens, *window) for window in flat]), strict=True))
    mapped: list[Mapped] = []
    for run, windows in runs:
        near = [
            (meant, window)
            for window in windows
            if (meant := found[window]) is not None and meant.clear and _stands(meant, window, run[0], found, meanings)
        ]
        if near:
            meant, (first, last) = max(near, key=lambda item: (item[0].similarity, -item[1][0], item[1][1]))
            mapped.append(Mapped(first, last, meant.class_id, meant.similarity))
    return mapped


def _stands(
    meant: Meant,
    window: tuple[int, int],
    begin: int,
    found: Mapping[tuple[int, int], Meant | None],
    meanings: Meanings,
) -> bool:
    """Whether what stands before a noun leaves it what it is: a ``seat`` is a chair, a ``park seat`` a bench."""
    first, last = window
    wider = (found.get((at, last)) for at in range(begin, first))
    return all(one is None or meanings.related(one.class_id, meant.class_id) for one in wider)


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


def _windows(tokens: Sequence[Token], run: Sequence[int], is_value: Callable[[str], bool]) -> Iterator[tuple[int, int]]:
    """Yield the parts of a run that may be its noun; after ``two`` that is a plural."""
    many = _says_many(tokens, run[0] - 1, is_value)
    for place, first in enumerate(run):
        for last in run[place : place + _MAX_WORDS]:
            if not many or singulars(tokens[last].word):
                yield first, last


def _says_many(tokens: Sequence[Token], at: int, is_value: Callable[[str], bool]) -> bool:
    while at >= 0 and (tokens[at].word in ADJECTIVES or is_value(tokens[at].word)):
        at -= 1
    return at >= 0 and (tokens[at].word in PLENTY or (number_of(tokens[at].word) or 1) > 1)


def _phrase(tokens: Sequence[Token], first: int, last: int) -> str:
    return " ".join(token.word for token in tokens[first : last + 1])
