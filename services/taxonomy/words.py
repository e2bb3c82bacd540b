"""English words as a taxonomy sees them: one written form, and the singulars that a plural may come from."""

from __future__ import annotations

import re
import unicodedata

_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_APART = re.compile(r"[\s_\-/.:,]+")
_SIBILANT = re.compile(r".*(s|x|z|ch|sh|o)$")

_IRREGULAR = {
    "people": "person", "men": "man", "women": "woman", "children": "child", "feet": "foot", "teeth": "tooth",
    "geese": "goose", "mice": "mouse", "lice": "louse", "oxen": "ox", "dice": "die", "knives": "knife",
    "wives": "wife", "lives": "life", "leaves": "leaf", "loaves": "loaf", "shelves": "shelf", "wolves": "wolf",
    "halves": "half", "calves": "calf", "thieves": "thief", "scarves": "scarf", "hooves": "hoof", "selves": "self",
    "bacteria": "bacterium", "criteria": "criterion", "vertebrae": "vertebra", "diagnoses": "diagnosis",
}  # fmt: skip


def folded(name: str) -> str:
    """Return ``name`` without case, camel case, underscores and hyphens: ``Traffic_light`` → ``traffic light``."""
    text = _CAMEL.sub(" ", unicodedata.normalize("NFKC", name))
    return _APART.sub(" ", text).strip().casefold()


def singulars(phrase: str) -> tuple[str, ...]:
    """Return the phrases that ``phrase`` may be the plural of, the likeliest first; only the last word changes.

    English spelling does not tell ``buses`` (bus) from ``vases`` (vase), so several are returned and the
    vocabulary decides.

    Args:
        phrase: A folded phrase.
    """
    head, _, word = phrase.rpartition(" ")
    start = f"{head} " if head else ""
    for plural, singular in _IRREGULAR.items():
        if word == plural or (len(plural) > 3 and plural in ("men", "women", "people") and word.endswith(plural)):
            return (start + word[: len(word) - len(plural)] + singular,)
    if len(word) > 4 and word.endswith("men") and word not in ("specimen", "abdomen", "regimen"):
        return (start + word[:-3] + "man",)
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return ()
    found = []
    if word.endswith("ies"):
        found.append(word[:-3] + "y")
    if word.endswith("es") and _SIBILANT.match(word[:-2]):
        found.append(word[:-2])
    found.append(word[:-1])
    return tuple(start + item for item in found)
