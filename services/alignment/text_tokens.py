"""English function words and numerals, as the reader of mentions needs them."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(r"#?[^\W_]+(?:['\u2019\-][^\W_]+)*|[.,;:!?()]")


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_UP_TO_TWENTY = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
NUMERALS = {word: value for value, word in enumerate(_UP_TO_TWENTY)} | {
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "sixty": 60,
    "hundred": 100,
    "dozen": 12,
    "both": 2,
    "single": 1,
}

DETERMINERS = frozenset(("a", "an", "the", "this", "that", "these", "those", "his", "her", "its", "their", "my", "our"))
PLENTY = frozenset(("several", "many", "some", "multiple", "various", "few", "numerous"))
ANY = frozenset(("all", "every", "each", "any", "most", "half"))
NO = frozenset(("no", "without", "zero"))
BREAKS = frozenset((".", ";", "!", "?", ":", ",", "(", ")", "but", "while", "whereas", "however", "there"))
STOPS = frozenset((".", ";", "!", "?"))
PLACES = frozenset(
    _words(
        "on in at near under over above below behind beside besides by around along inside outside between next across "
        "from through against beneath onto into atop among within"
    )
)
BESIDE = frozenset(_words("near under over above below behind beside besides by between next against beneath atop"))
RESTRICTS = frozenset(
    _words(
        "with that which who whose having has have had contain contains containing of as where touching than not "
        "closely only like without"
    )
)
PICTURES = frozenset(("image", "picture", "photo", "photograph", "scene", "frame", "view", "shot", "video"))
SHOWS = frozenset(("is", "are", "was", "were", "shows", "showing", "depicts", "see", "sees", "contains", "has", "of"))
COLOURS = frozenset(_words("white black red green blue yellow brown grey gray orange purple pink silver"))
ADJECTIVES = COLOURS | frozenset(
    _words(
        "big large small little tiny huge young old tall short long dark light bright wooden plastic parked different "
        "adult empty full open closed new more other visible clearly very closely stacked"
    )
)
CERTAINLY_NOUN_AFTER = frozenset(("to", "they", "we", "you", "i", "can", "will", "who", "must", "could", "should"))
FUNCTION_WORDS = (
    DETERMINERS
    | PLENTY
    | ANY
    | NO
    | PLACES
    | RESTRICTS
    | SHOWS
    | frozenset(("and", "or", "to", "for", "it", "be", "but", "while", "there", "one", "two", "up", "down", "off"))
)


@dataclass(frozen=True, slots=True)
class Token:
    """A word or a mark, with its place in the text."""

    text: str
    word: str
    start: int
    end: int


def tokens_of(text: str) -> tuple[Token, ...]:
    """Return the words and marks of a text; ``word`` is in lower case, without a possessive ending."""
    found = []
    for match in _TOKEN.finditer(text):
        word = re.sub(r"['\u2019]s$", "", match.group().casefold())
        found.append(Token(match.group(), word, match.start(), match.end()))
    return tuple(found)


def number_of(word: str) -> int | None:
    """Return the number that a word or digits say, up to 9999."""
    if word.isascii() and word.isdigit() and len(word) <= 4:
        return int(word)
    if word in NUMERALS:
        return NUMERALS[word]
    tens, _, ones = word.partition("-")
    if ones and tens in NUMERALS and NUMERALS[tens] >= 20 and 1 <= NUMERALS.get(ones, 0) <= 9:
        return NUMERALS[tens] + NUMERALS[ones]
    return None


def looks_english(text: str, min_share: float) -> bool:
    """Whether enough of the words are function words of English; a text under 8 words is believed to be."""
    words = [token.word for token in tokens_of(text) if token.word[:1].isalpha()]
    if len(words) < 8:
        return True
    return sum(word in FUNCTION_WORDS for word in words) >= min_share * len(words)
