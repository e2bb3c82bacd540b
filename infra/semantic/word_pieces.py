"""Text to the word pieces of an uncased BERT vocabulary.

Words are cut greedily into the longest known pieces (WordPiece: Wu et al., 2016, *Google's neural machine translation
system*), after the cleaning that the vocabulary was made with (Devlin et al., NAACL 2019): lower case, no accents,
marks and Chinese characters each by themselves.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

UNKNOWN, BEGIN, END = "[UNK]", "[CLS]", "[SEP]"
_MAX_LETTERS = 100
_IDEOGRAPHS = (
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2A6DF), (0x2A700, 0x2CEAF), (0x2F800, 0x2FA1F),
)  # fmt: skip


class WordPieces:
    """Cuts texts with one vocabulary.

    Args:
        vocabulary: The number of each piece; a piece that goes on within a word begins with ``##``.
        max_pieces: Longest text, the marks of its begin and end included; what is beyond is left out.

    Raises:
        KeyError: The vocabulary lacks one of its three marks.
    """

    def __init__(self, vocabulary: Mapping[str, int], max_pieces: int) -> None:
        self._numbers = vocabulary
        self._unknown, self._begin, self._end = (vocabulary[mark] for mark in (UNKNOWN, BEGIN, END))
        self._max_pieces = max_pieces

    def numbers(self, text: str) -> tuple[int, ...]:
        """Return the pieces of a text as numbers, with the marks of its begin and end."""
        found = [self._begin]
        for word in _words(text):
            found.extend(self._cut(word))
            if len(found) >= self._max_pieces:
                break
        return (*found[: self._max_pieces - 1], self._end)

    def _cut(self, word: str) -> list[int]:
        if len(word) > _MAX_LETTERS:
            return [self._unknown]
        pieces: list[int] = []
        at = 0
        while at < len(word):
            for end in range(len(word), at, -1):
                number = self._numbers.get(word[at:end] if at == 0 else f"##{word[at:end]}")
                if number is not None:
                    pieces.append(number)
                    at = end
                    break
            else:
                return [self._unknown]  # a word that can not be cut whole is not known at all
        return pieces


def _words(text: str) -> list[str]:
    """Return the words and marks of a text, in lower case and without accents."""
    spaced: list[str] = []
    for character in text:
        category = unicodedata.category(character)
        if character in "\t\n\r" or category == "Zs":
            spaced.append(" ")
        elif category[0] == "C" or character == "\ufffd":
            continue
        elif _is_ideograph(ord(character)):
            spaced.append(f" {character} ")
        else:
            spaced.append(character)
    bare = "".join(
        character
        for character in unicodedata.normalize("NFD", "".join(spaced))
        if unicodedata.category(character) != "Mn"
    ).lower()
    return "".join(f" {one} " if _is_mark(one) else one for one in bare).split()


def _is_ideograph(point: int) -> bool:
    return any(first <= point <= last for first, last in _IDEOGRAPHS)


def _is_mark(character: str) -> bool:
    if character.isascii():
        return character.isprintable() and not character.isalnum() and character != " "
    return unicodedata.category(character)[0] == "P"
