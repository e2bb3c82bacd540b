"""One text of several people's: words voted slot by slot.

After ROVER (J. G. Fiscus, "A post-processing system to yield reduced word error rates: recognizer output voting error
reduction", ASRU 1997): texts are aligned by the fewest edits into slots, and each slot is voted. ROVER adds one text
after the other, so its result hangs on their order. Here all are aligned to one of them, the medoid, so that it does
not: the text with the least sum of edits to all others, and of equals the first by its words.

The tie rule: what the medoid has wins a tie, be it a word or none; among others the word that sorts first, and any word
before none. Words are compared without case and punctuation; how a winning word is written is voted among those who
gave it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz.distance import Levenshtein

from services.agreement.ratings import Floats
from services.agreement.word_errors import folded_words, word_closeness
from services.consensus.votes import majority

_SAME = 1e-9


def closeness_of_texts(one: Sequence[str], other: Sequence[str]) -> Floats:
    """Return the closeness of every two texts: (n,) and (m,) to (n, m)."""
    return np.array([[word_closeness(a, b) for b in other] for a in one], dtype=np.float64).reshape(
        len(one), len(other)
    )


@dataclass(frozen=True, slots=True)
class VotedText:
    """What a vote on words gave.

    Attributes:
        text: The words, joined by spaces.
        share: Mean share of the weight that each slot's winner has; 1 without a slot.
        slots: Number of slots.
    """

    text: str
    share: float
    slots: int


def vote_words(texts: Sequence[tuple[str, str]], weights: Mapping[str, float] | None = None) -> VotedText:
    """Return one text of several.

    Args:
        texts: (who, text), at least one.
        weights: Weight of each person; who is missing has 1.
    """
    given = sorted(((folded_words(text), who) for who, text in texts), key=lambda entry: entry)
    words = [[compared for compared, _ in tokens] for tokens, _ in given]
    distances = [sum(Levenshtein.distance(own, other) for other in words) for own in words]
    medoid = words[distances.index(min(distances))]
    # Slot 2i + 1 is the medoid's word i; slot 2i has what others say before it, one slot after the other.
    slots: dict[tuple[int, int], list[tuple[str, tuple[str, str] | None]]] = {}
    for (tokens, who), own in zip(given, words, strict=True):
        for slot, token in _placed(medoid, own, tokens).items():
            slots.setdefault(slot, []).append((who, token))
    out: list[str] = []
    shares: list[float] = []
    for slot in sorted(slots):
        said = dict(slots[slot])
        winner, share = _vote([(who, said.get(who)) for _, who in given], _own(medoid, slot), weights)
        shares.append(share)
        if winner is not None:
            out.append(winner)
    return VotedText(" ".join(out), sum(shares) / len(shares) if shares else 1.0, len(shares))


def _placed(
    medoid: Sequence[str], own: Sequence[str], tokens: Sequence[tuple[str, str]]
) -> dict[tuple[int, int], tuple[str, str] | None]:
    found: dict[tuple[int, int], tuple[str, str] | None] = {}
    for step in Levenshtein.opcodes(medoid, own):
        if step.tag in ("equal", "replace"):
            for at, word in zip(
                range(step.src_start, step.src_end), range(step.dest_start, step.dest_end), strict=True
            ):
                found[2 * at + 1, 0] = tokens[word]
        elif step.tag == "delete":
            found.update({(2 * at + 1, 0): None for at in range(step.src_start, step.src_end)})
        else:
            for place, word in enumerate(range(step.dest_start, step.dest_end)):
                found[2 * step.src_start, place] = tokens[word]
    return found


def _own(medoid: Sequence[str], slot: tuple[int, int]) -> str | None:
    return medoid[slot[0] // 2] if slot[0] % 2 else None


def _vote(
    said: Sequence[tuple[str, tuple[str, str] | None]], own: str | None, weights: Mapping[str, float] | None
) -> tuple[str | None, float]:
    vote = majority(((who, "" if token is None else token[0]) for who, token in said), weights)
    total = sum(vote.weights.values())
    most = max(vote.weights.values())
    best = sorted(word for word, weight in vote.weights.items() if weight >= most - _SAME * total)
    spoken = [word for word in best if word]
    # In a slot that the medoid has no word for, saying nothing is the medoid's own choice.
    winner = own if own in best else ("" if own is None and "" in best else (spoken or best)[0])
    share = vote.weights[winner] / total
    if not winner:
        return None, share
    written = [(who, token[1]) for who, token in said if token is not None and token[0] == winner]
    return majority(written, weights).winner, share
