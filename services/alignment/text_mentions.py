"""Read an English text for what it says is in a picture: which classes, how many, of what kind, or that none is.

The reader knows the taxonomy's names and the small words around a noun, and no grammar. Where the words around a
mention could change its meaning, the mention claims less: precision goes before recall. A count claims an upper
bound only if nothing restricts it: ``three dogs`` does, ``three dogs that bark`` only says that three are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from services.alignment.meaning import Meanings
from services.alignment.text_phrases import Mapped, mapped_phrases
from services.alignment.text_tokens import (
    ADJECTIVES,
    ANY,
    BESIDE,
    BREAKS,
    CERTAINLY_NOUN_AFTER,
    COLOURS,
    DETERMINERS,
    FUNCTION_WORDS,
    NO,
    PICTURES,
    PLACES,
    PLENTY,
    RESTRICTS,
    SHOWS,
    STOPS,
    Token,
    number_of,
    tokens_of,
)
from services.contracts.base import Scalar
from services.taxonomy.lookup import TaxonomyIndex
from services.taxonomy.words import folded, singulars

SURE, LIKELY, UNKNOWN = 0, 1, 2
_MAX_WORDS = 6
_LOOK_BACK = 30


@dataclass(frozen=True, slots=True)
class Mention:
    """What one noun phrase claims.

    Attributes:
        classes: Classes the noun may mean.
        text: The phrase with its modifiers.
        start: First character of the phrase.
        end: One past its last character.
        low: Least number claimed; 0 if it says that there is none, or claims nothing.
        high: Greatest number claimed; None if there is no limit.
        negated: Whether the text says that there is none.
        certainty: Of ``high`` and ``negated``: SURE, LIKELY (a place restricts it), UNKNOWN.
        attributes: Allowed values by attribute name.
        adds: How many things the phrase adds to those named before; None if there is no limit.
        similarity: How near the noun is to the class it is taken for; None where the taxonomy names it.
    """

    classes: tuple[str, ...]
    text: str
    start: int
    end: int
    low: int = 1
    high: int | None = None
    negated: bool = False
    certainty: int = SURE
    attributes: dict[str, frozenset[Scalar]] = field(default_factory=dict)
    adds: int | None = None
    similarity: float | None = None


class MentionReader:
    """Reads texts with one taxonomy.

    Args:
        index: The taxonomy.
        meanings: Tells what a noun means that the taxonomy does not name; None to leave such nouns alone.
    """

    def __init__(self, index: TaxonomyIndex, meanings: Meanings | None = None) -> None:
        self._index = index
        self._meanings = meanings
        self._values: dict[str, set[tuple[str, Scalar]]] = {}
        rules = [*index.taxonomy.attributes, *(rule for item in index.taxonomy.classes for rule in item.attributes)]
        for rule in rules:
            if rule.type == "flag":
                self._values.setdefault(folded(rule.name), set()).add((rule.name, True))
            for value in rule.values:
                if isinstance(value, str):
                    for word in (value, *rule.synonyms.get(value, ())):
                        self._values.setdefault(folded(word), set()).add((rule.name, value))

    def read(self, text: str, spans: Sequence[tuple[int, int, tuple[str, ...]]] = ()) -> tuple[Mention, ...]:
        """Return the mentions of a text in its order.

        Args:
            text: English.
            spans: (first character, one past the last, classes) of nouns that people have marked already.
        """
        tokens = tokens_of(text)
        supposed = _supposed(tokens)
        nouns = self._nouns(tokens, spans)
        mapped = {one.first: one for one in self._mapped(tokens, nouns)}
        nouns += [(one.first, one.last, (one.class_id,)) for one in mapped.values()]
        return tuple(
            mention if first not in mapped else replace(mention, similarity=mapped[first].similarity)
            for first, last, classes in sorted(nouns)
            if not supposed[first] and (mention := self._mention(text, tokens, first, last, classes)) is not None
        )

    def attributes_in(self, text: str) -> dict[str, frozenset[Scalar]]:
        """Return the attribute values that a short phrase such as ``the red car`` states."""
        found: dict[str, set[Scalar]] = {}
        for token in tokens_of(text):
            for name, value in self._values.get(folded(token.word), ()):
                found.setdefault(name, set()).add(value)
        return {name: frozenset(values) for name, values in found.items()}

    def named(self, text: str) -> frozenset[str]:
        """Return every class whose name, or what is taken for it, occurs in a text, whatever is said of it."""
        tokens = tokens_of(text)
        nouns = self._nouns(tokens, ())
        meant = {one.class_id for one in self._mapped(tokens, nouns)}
        return frozenset(name for _, _, classes in nouns for name in classes) | meant

    def _mapped(self, tokens: Sequence[Token], nouns: Sequence[tuple[int, int, tuple[str, ...]]]) -> list[Mapped]:
        if self._meanings is None:
            return []
        taken = frozenset(at for first, last, _ in nouns for at in range(first, last + 1))
        return mapped_phrases(tokens, taken, lambda word: folded(word) in self._values, self._meanings)

    def _nouns(
        self, tokens: Sequence[Token], spans: Sequence[tuple[int, int, tuple[str, ...]]]
    ) -> list[tuple[int, int, tuple[str, ...]]]:
        found: list[tuple[int, int, tuple[str, ...]]] = []
        covered: set[int] = set()
        for start, end, classes in spans:
            inside = [at for at, token in enumerate(tokens) if token.start >= start and token.end <= end]
            if inside and classes:
                # A marked phrase may begin with its modifiers; the noun is its end.
                noun = self._longest(tokens, inside)
                found.append((noun, inside[-1], classes))
                covered.update(inside)
        at = 0
        while at < len(tokens):
            step = 1
            for size in range(min(self._index.longest_name_words, _MAX_WORDS, len(tokens) - at), 0, -1):
                part = tokens[at : at + size]
                if any(index in covered for index in range(at, at + size)) or any(t.word in STOPS for t in part):
                    continue
                if size == 1 and (part[0].word in FUNCTION_WORDS or number_of(part[0].word) is not None):
                    continue
                classes = self._index.classes_of(" ".join(token.word for token in part))
                if classes:
                    found.append((at, at + size - 1, classes))
                    step = size
                    break
            at += step
        return sorted(found)

    def _longest(self, tokens: Sequence[Token], inside: Sequence[int]) -> int:
        for first in inside:
            if self._index.classes_of(" ".join(tokens[at].word for at in inside if at >= first)):
                return first
        return inside[-1]

    def _mention(
        self, text: str, tokens: Sequence[Token], first: int, last: int, classes: tuple[str, ...]
    ) -> Mention | None:
        before = tokens[first - 1].word if first else ""
        after = tokens[last + 1].word if last + 1 < len(tokens) else ""
        if before in CERTAINLY_NOUN_AFTER or "or" in (before, after) or after == "?":
            return None  # a verb, or one of two possibilities
        plural = bool(singulars(folded(tokens[last].word)))
        if not plural and self._heads_a_compound(after):
            return None
        start, attributes, words = self._modifiers(tokens, first)
        if (start and tokens[start - 1].word == "or") or _denied_before(tokens, start):
            return None
        if _measures(words) or self._has_strange_colour(tokens[start:first]):
            return None
        low, high, negated = _quantity(words, plural=plural)
        attributes = attributes or self._said_of(tokens, last)
        certainty = max(_certainty_before(tokens, start), _certainty_after(tokens, last))
        if "without" in words:
            certainty = max(certainty, LIKELY)
        return Mention(
            classes=classes,
            text=text[tokens[start].start : tokens[last].end],
            start=tokens[start].start,
            end=tokens[last].end,
            low=0 if negated else low,
            high=0 if negated else high,
            negated=negated,
            certainty=certainty,
            attributes=attributes,
            adds=_adds(words, high, plural=plural),
        )

    def _heads_a_compound(self, after: str) -> bool:
        if not after or not after[0].isalpha() or after in FUNCTION_WORDS or after in ADJECTIVES or after in BREAKS:
            return False
        # ``dog food`` is no dog, ``dog sits`` and ``dog running`` are.
        return not after.endswith(("ing", "ed", "s")) or bool(self._index.classes_of(after))

    def _modifiers(
        self, tokens: Sequence[Token], first: int
    ) -> tuple[int, dict[str, frozenset[Scalar]], tuple[str, ...]]:
        """Return where the phrase begins, what its adjectives say, and the small words, leftmost first."""
        at = first
        values: dict[str, set[Scalar]] = {}
        mixed = False
        words: list[str] = []
        while at > 0:
            word = tokens[at - 1].word
            known = self._values.get(folded(word))
            if known:
                for name, value in known:
                    values.setdefault(name, set()).add(value)
            elif word in ("and", "or", ",") and self._between_values(tokens, at - 1):
                mixed = mixed or word != "or"
            elif self._is_quantity(tokens, at - 1):
                words.insert(0, "not" if _is_not(word) else word)
            elif word not in ADJECTIVES:
                break
            at -= 1
        # ``black and yellow items`` may be striped, or some black and some yellow.
        return at, {} if mixed else {name: frozenset(found) for name, found in values.items()}, tuple(words)

    def _has_strange_colour(self, words: Sequence[Token]) -> bool:
        """Whether a colour is none that the taxonomy knows, while it knows some: the phrase names another thing."""
        strange = any(token.word in COLOURS and folded(token.word) not in self._values for token in words)
        return strange and any(word in self._values for word in COLOURS)

    @staticmethod
    def _is_quantity(tokens: Sequence[Token], at: int) -> bool:
        word = tokens[at].word
        if word in _QUANTITY_WORDS or _is_not(word) or number_of(word) is not None:
            return True
        if word == "at":
            return tokens[at + 1].word in ("least", "most")
        return word == "of" and at > 0 and _counts_by_of(tokens[at - 1].word)

    def _between_values(self, tokens: Sequence[Token], at: int) -> bool:
        return (
            0 < at < len(tokens) - 1
            and folded(tokens[at - 1].word) in self._values
            and folded(tokens[at + 1].word) in self._values
        )

    def _said_of(self, tokens: Sequence[Token], last: int) -> dict[str, frozenset[Scalar]]:
        """Return what ``the car is red`` says of the car."""
        rest = [token.word for token in tokens[last + 1 : last + 5]]
        if len(rest) < 2 or rest[0] not in ("is", "are", "was", "were"):
            return {}
        known = self._values.get(folded(rest[1]))
        if not known or (len(rest) > 2 and (rest[2] in ("and", "or") or rest[2] not in BREAKS | PLACES)):
            return {}
        return {name: frozenset({value}) for name, value in known}


def _supposed(tokens: Sequence[Token]) -> list[bool]:
    """Return for each token whether it is in a question, or after an ``if`` of its sentence."""
    found: list[bool] = []
    begin = 0
    for at, token in enumerate(tokens):
        if token.word in STOPS or at == len(tokens) - 1:
            words = [item.word for item in tokens[begin : at + 1]]
            after = min((words.index(word) for word in ("if", "whether") if word in words), default=len(words))
            found.extend(token.word == "?" or place > after for place in range(len(words)))
            begin = at + 1
    return found


def _denied_before(tokens: Sequence[Token], start: int) -> bool:
    """Whether a ``no`` further left in the clause covers the phrase: ``no table with two legs``."""
    for at in range(start - 1, max(start - _LOOK_BACK, 0) - 1, -1):
        word = tokens[at].word
        if word in BREAKS:
            return False
        if word in NO or word == "never" or _is_not(word):
            return True
    return False


def _is_not(word: str) -> bool:
    return word == "not" or word.endswith(("n't", "n\u2019t"))


_EXACTLY = frozenset(("exactly", "only", "just", "precisely"))
_ABOUT = frozenset(("about", "around", "approximately", "roughly", "nearly", "almost", "over"))
_QUANTITY_WORDS = (
    DETERMINERS
    | PLENTY
    | ANY
    | NO
    | _EXACTLY
    | (_ABOUT - {"over", "around"})
    | frozenset(("least", "more", "fewer", "less", "than", "up", "pair", "couple", "lots", "lot", "group"))
    | frozenset(("maximum", "minimum"))
) - {"that"}


def _counts_by_of(word: str) -> bool:
    return word in ("pair", "couple", "dozen", "lot", "lots", "group", "one") or number_of(word) is not None


def _quantity(words: Sequence[str], *, plural: bool) -> tuple[int, int | None, bool]:
    """Return (least, greatest or None, negated) of the small words before a noun."""
    said = set(words)
    if said & NO and not said & {"more", "fewer", "less"}:
        return 0, 0, True
    if "not" in said:
        denied = bool(said & {"any", "a", "an"})
        return 0, 0 if denied else None, denied
    numbers = [number for word in words if (number := number_of(word)) is not None]
    if "couple" in said or "pair" in said:
        number = 2 * (numbers[0] if "pair" in said and numbers else 1)
        return number, number if "pair" in said else number + 1, False
    if "of" in said:  # two of the dogs
        return (numbers[0] if numbers else 1), None, False
    if not numbers:
        if said & ANY:
            return 0, None, False
        return (2 if plural and said & PLENTY else 1), None, False
    number = numbers[0]
    if len(numbers) > 1 and numbers[1] in (12, 100):
        number *= numbers[1]
    return _bounded(number, said)


def _measures(words: Sequence[str]) -> bool:
    """Whether a number belongs to a word further on: ``a two blocks tower``, ``a three dogs night``."""
    return len(words) >= 2 and words[-2] in ("a", "an") and (number_of(words[-1]) or 0) > 1 and words[-1] != "dozen"


def _adds(words: Sequence[str], high: int | None, *, plural: bool) -> int | None:
    if high is not None:
        return high
    if set(words) & (DETERMINERS - {"a", "an"}) or "of" in words:
        return 0  # ``the dogs`` were named before
    return None if plural else 1


def _bounded(number: int, said: set[str]) -> tuple[int, int | None, bool]:
    if "least" in said or "minimum" in said:
        return number, None, False
    if "than" in said and "more" in said:
        return (0, number, False) if "no" in said else (number + 1, None, False)
    if "than" in said and said & {"fewer", "less"}:
        return (number, None, False) if "no" in said else (0, max(number - 1, 0), False)
    if said & {"most", "maximum", "up"}:
        return 0, number, False
    if said & _ABOUT:
        return int(number * 0.75), -int(-number * 1.25 // 1), False
    return number, number, False


def _certainty_before(tokens: Sequence[Token], start: int) -> int:
    """How far the words of the clause before a phrase restrict where it is counted."""
    level = SURE
    for at in range(start - 1, max(start - _LOOK_BACK, 0) - 1, -1):
        if tokens[at].word in BREAKS - {"there", ","}:
            break
        word = tokens[at].word
        if word in SHOWS and (at == 0 or tokens[at - 1].word in PICTURES | {"there", "we"}):
            break
        if word in PLACES and at + 2 < len(tokens) and tokens[at + 2].word in PICTURES:
            continue
        if word in RESTRICTS or word == "no":
            return UNKNOWN
        if word in PLACES or word.endswith("ing"):
            level = LIKELY
    return level


def _certainty_after(tokens: Sequence[Token], last: int) -> int:
    """How far the words after a noun restrict it."""
    rest = [token.word for token in tokens[last + 1 : last + 4]]
    while rest and rest[0].endswith("ly"):
        rest = rest[1:]
    if not rest or rest[0] in BREAKS or rest[0] == "and":
        return SURE
    if rest[0] in RESTRICTS:
        return SURE if rest[0] in ("has", "have") else UNKNOWN
    if rest[0] in PLACES:
        if set(rest[1:]) & PICTURES:
            return SURE
        return UNKNOWN if rest[0] in BESIDE else LIKELY
    return LIKELY if rest[0].endswith(("ing", "ed")) else SURE
