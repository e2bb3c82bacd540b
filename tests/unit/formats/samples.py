"""What the tests of the formats share: real files, strategies for labels, and mutations of documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st

from services.contracts.annotations import Annotation
from services.contracts.canonical import canonical_json
from services.contracts.labels_language import SoundEvent, TranscriptSegment, Word
from services.contracts.labels_visual import Event
from services.errors import ConcordError

DATA = Path(__file__).parents[4] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the labelled recordings are not beside this checkout")

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=40)
IDENTIFIER = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:@+-]{0,11}", fullmatch=True)
ANY_TIME_S = st.one_of(
    st.integers(0, 10_000_000).map(lambda ms: ms / 1_000),
    st.floats(-10, 1e5),
    st.sampled_from([0.0, 0.0005, 59.9995, 3_599.9999]),
)
SOMETIMES: st.SearchStrategy[bool] = st.booleans()
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["tier", "cue_id", "settings", "voice", "position", "other"]), st.one_of(TEXT, st.integers(0, 9))
)


@st.composite
def _words(draw: st.DrawFn) -> tuple[Word, ...]:
    times = sorted(draw(st.lists(st.integers(0, 9_000), min_size=2, max_size=5, unique=True)))
    return tuple(
        Word(text=draw(st.text("abc<&é", min_size=1, max_size=5)), start_s=a / 1_000, end_s=b / 1_000)
        for a, b in pairwise(times)
    )


@st.composite
def segments(draw: st.DrawFn) -> TranscriptSegment:
    words = draw(st.one_of(_words(), st.builds(tuple)))
    end_s = words[-1].end_s if words else draw(ANY_TIME_S)
    return TranscriptSegment(
        id="x",
        stream="s",
        label=draw(st.sampled_from(["speech", "song"])),
        text=" ".join(word.text for word in words) if words and draw(SOMETIMES) else draw(TEXT),
        start_s=draw(ANY_TIME_S),
        end_s=end_s,
        speaker=draw(st.one_of(st.none(), IDENTIFIER)),
        language=draw(st.sampled_from([None, "en-GB", "d e", " x"])),
        words=words,
        confidence=draw(st.sampled_from([None, 0.5])),
        attributes=draw(ATTRIBUTES),
    )


@st.composite
def timed(draw: st.DrawFn) -> Annotation:
    return (SoundEvent if draw(SOMETIMES) else Event)(
        id="x",
        stream="s",
        label=draw(TEXT.filter(bool)),
        start_s=draw(ANY_TIME_S),
        end_s=draw(ANY_TIME_S),
        attributes=draw(ATTRIBUTES),
    )


def numbered(labels: Iterable[Annotation]) -> list[Annotation]:
    return [label.model_copy(update={"id": f"a{index}"}) for index, label in enumerate(labels)]


def without_ids(labels: Iterable[Annotation]) -> list[str]:
    """Labels as text without their ids, in an order that does not depend on the document's."""
    return sorted(canonical_json(label.model_dump(mode="json", exclude={"id"})).decode() for label in labels)


def only_concord_errors(data: bytes, read: Callable[[bytes], object], *, cuts: int = 40, flips: int = 60) -> int:
    """Read truncated and mutated copies of ``data``; how many were refused. Any other error is the test's failure."""
    rng = np.random.default_rng(7)
    copies = [data[: int(cut)] for cut in np.linspace(0, len(data), cuts, endpoint=False)]
    marks = b'0-9"<>{}[],:\n\r \x00\xff.eE/'
    for _ in range(flips):
        changed = bytearray(data)
        for place in rng.integers(0, len(data), 1 + int(rng.integers(6))):
            changed[place] = marks[int(rng.integers(len(marks)))] if rng.random() < 0.7 else int(rng.integers(256))
        copies.append(bytes(changed))
    for _ in range(flips // 3):
        first, second = sorted(int(place) for place in rng.integers(0, len(data), 2))
        copies += [data[:first] + data[second:], data[:second] + data[first:second] + data[second:]]
    refused = 0
    for copy in copies:
        try:
            read(copy)
        except ConcordError:
            refused += 1
    return refused
