"""Captions whose nouns no synonym names: is what they say held against the labels all the same?

The scenes are made up, the vocabulary is not: 80 common classes, and a fixed list of other names for them and of things
that are none of them. A scene and all words of its caption belong to one half of that list.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from infra.bench.detection.fault import Injected, LabelFault, half_of
from infra.bench.detection.paraphrases import CLASSES, OTHERS, PARAPHRASES
from infra.bench.detection.text_recordings import caption, sample_of
from infra.semantic.sentence_encoder import installed_encoder
from services.alignment.sample import CheckSample
from services.contracts.findings import Finding
from services.contracts.labels_visual import Box
from services.contracts.manifest import Context, Stream
from services.rules.meaning import PhraseMeaningRules
from services.rules.rule_set import RuleSet
from services.rules.text_visual import TextVisualRules
from services.taxonomy.taxonomy import Taxonomy, TaxonomyClass

CHECK = "text_visual"
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six")
_CAPTIONS = (
    "{Count} {noun} and {other}.",
    "There {are} {count} {noun} beside {other} and {known}.",
    "{Count} {noun} in front of {other}, {known} on the left.",
)


def rules_of(data: Path, rules: RuleSet) -> RuleSet:
    """Return the rules with the 80 classes, no synonyms, and every finding counted as if it were grave."""
    del data
    taxonomy = Taxonomy(id="common", version=1, classes=tuple(TaxonomyClass(id=name) for name in CLASSES))
    section = TextVisualRules(taxonomy=taxonomy, meaning=PhraseMeaningRules(max_severity="major"))
    return rules.model_copy(update={"text_visual": section})


def clean_samples(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield scenes whose captions are true, by other names; a group is a class.

    Raises:
        UnavailableError: The semantic model is not installed.
    """
    del data
    encoder = installed_encoder()
    others = {half: _others(half) for half in ("tune", "test")}
    words = [(name, word) for name, own in PARAPHRASES.items() for word in own]
    for number, (name, word) in enumerate(words):
        # One caption a word: what a word is taken for decides all of its captions, so that more would count it twice.
        text = _CAPTIONS[number % len(_CAPTIONS)]
        half = half_of(name)
        rng = np.random.default_rng(number)
        count = int(rng.integers(1, 4))
        known = _pick([one for one in PARAPHRASES if one != name and half_of(one) == half], rng)
        other = next(others[half])
        labels = [_box(f"thing-{at}", name, at) for at in range(count)]
        if "{known}" in text:
            labels.append(_box("known", known, count))
        said = text.format(
            count=_NUMBERS[count], Count=_NUMBERS[count].capitalize(), noun=_noun(word, count),
            are="is" if count == 1 else "are", other=f"{_article(other)} {other}", known=f"{_article(known)} {known}",
        )  # fmt: skip
        streams = (Stream(id="image", modality="image", image_size_px=(640, 480)), caption(said))
        scene = sample_of(f"{name}-{word}".replace(" ", "_"), streams, labels)
        context = Context(attributes={"class": name, "word": word})
        manifest = scene.manifest.model_copy(update={"context": context})
        yield name, replace(scene, manifest=manifest, text_encoder=encoder)


def _box(name: str, label: str, place: int) -> Box:
    return Box(id=name, stream="image", label=label, box=(20.0 + 60 * place, 20.0, 60.0 + 60 * place, 60.0))


def _pick(items: Sequence[str], rng: np.random.Generator) -> str:
    return items[int(rng.integers(len(items)))]


def _others(half: str) -> Iterator[str]:
    """Yield the other things of a half in turn, again and again."""
    return itertools.cycle([thing for theme, things in OTHERS.items() if half_of(theme) == half for thing in things])


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"


def _noun(word: str, count: int) -> str:
    if count == 1 or word.endswith("s"):
        return word
    if word.endswith(("sh", "ch", "x")):
        return f"{word}es"
    return f"{word[:-1]}ies" if word.endswith("y") and word[-2] not in "aeiou" else f"{word}s"


def _saying(sample: CheckSample, sentence: str) -> CheckSample:
    streams = tuple(
        stream.model_copy(update={"inline": f"{stream.inline} {sentence}"}) if stream.id == "caption" else stream
        for stream in sample.manifest.streams
    )
    return replace(sample, manifest=sample.manifest.model_copy(update={"streams": streams}))


def _things(sample: CheckSample) -> tuple[str, str, frozenset[str]]:
    """Return (class, another name for it, ids of its labels) of a scene."""
    about = sample.manifest.context.attributes
    name, word = str(about["class"]), str(about["word"])
    return name, word, frozenset(label.id for label in sample.annotations if label.label == name)


def _denied(sample: CheckSample, rng: np.random.Generator) -> Injected:
    del rng
    _, word, ids = _things(sample)
    return _saying(sample, f"There is no {word}."), ids


def _counted(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    _, word, ids = _things(sample)
    if word.endswith("s"):
        return None  # neither ``two scissors`` nor ``two scissorses``
    many = len(ids) + int(rng.integers(1, 3)) + 1
    return _saying(sample, f"There are {_NUMBERS[many]} {_noun(word, many)}."), ids


def _unlabelled(sample: CheckSample, rng: np.random.Generator) -> Injected:
    """Take away the labels of what the caption names; something else stays labelled."""
    del rng
    _, _, ids = _things(sample)
    kept = tuple(label for label in sample.annotations if label.id not in ids)
    spare = next(one for one in CLASSES if one not in PARAPHRASES)
    return replace(sample, annotations=kept or (_box("spare", spare, 0),)), frozenset()


def _names_the_class(finding: Finding, sample: CheckSample) -> bool:
    return f"by its meaning {_things(sample)[0]}," in finding.message


FAULTS: tuple[LabelFault, ...] = (
    LabelFault(
        CHECK, "mentioned_not_seen", _unlabelled, name="its labels are missing", names=_names_the_class, once=True
    ),
    LabelFault(
        CHECK, "negation_conflict", _denied, name="is denied by another name", names=_names_the_class, once=True
    ),
    LabelFault(
        CHECK, "count_mismatch", _counted, name="more than there are, by another name", names=_names_the_class,
        once=True,
    ),
)  # fmt: skip
