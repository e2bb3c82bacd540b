"""COCO's run-length masks: plain counts and their compressed text.

Source: the COCO data format and its API (T.-Y. Lin et al., *Microsoft COCO: Common Objects in Context*, ECCV 2014):
runs go down the columns and begin with zeros; from the third on a run is told as its difference to the last run but
one; each number takes six bits a character, lowest five first, the sixth says that more follow, from ``0`` on.
"""

from __future__ import annotations

from collections.abc import Sequence

_FIRST = 48
_MORE = 0x20
_SIGN = 0x10
_LOW = 0x1F
_MAX_GROUPS = 8


def decode_counts(text: str) -> list[int]:
    """Return the runs of a compressed mask.

    Raises:
        ValueError: The text is cut off, has a foreign character, or a run is negative.
    """
    counts: list[int] = []
    value = groups = 0
    for position, character in enumerate(text):
        code = ord(character) - _FIRST
        if not 0 <= code < 64:
            raise ValueError(f"character {position} of the counts is {character!r}; counts hold only 0 to o")
        value |= (code & _LOW) << (5 * groups)
        groups += 1
        if groups > _MAX_GROUPS:
            raise ValueError(f"the number at character {position} of the counts has no end")
        if code & _MORE:
            continue
        if code & _SIGN:
            value |= -1 << (5 * groups)
        if len(counts) > 2:
            value += counts[-2]
        if value < 0:
            raise ValueError(f"the run at character {position} of the counts is {value}; runs are not negative")
        counts.append(value)
        value = groups = 0
    if groups:
        raise ValueError("the counts are cut off in the middle of a number")
    return counts


def encode_counts(counts: Sequence[int]) -> str:
    """Return runs as COCO's compressed text."""
    characters: list[str] = []
    for position, count in enumerate(counts):
        value = count - counts[position - 2] if position > 2 else count
        more = True
        while more:
            code = value & _LOW
            value >>= 5
            more = value != (-1 if code & _SIGN else 0)
            characters.append(chr(_FIRST + (code | _MORE if more else code)))
    return "".join(characters)


def checked_counts(counts: str | Sequence[int], size: tuple[int, int]) -> list[int]:
    """Return the runs of a mask, plain.

    Args:
        counts: Compressed text, or plain runs.
        size: (height, width), pixels.

    Raises:
        ValueError: They can not be read, or do not fill the image exactly.
    """
    runs = decode_counts(counts) if isinstance(counts, str) else list(counts)
    pixels = size[0] * size[1]
    if sum(runs) != pixels:
        raise ValueError(f"the runs cover {sum(runs)} pixels, the image has {pixels}")
    return runs
