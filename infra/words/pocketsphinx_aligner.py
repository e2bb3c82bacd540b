"""Where words are said, by forced alignment with PocketSphinx; needs the extra ``words``.

The words and optional silences between them become one chain of hidden Markov models of their sounds, and the best way
through it (A. Viterbi, *Error bounds for convolutional codes and an asymptotically optimum decoding algorithm*, IEEE
Transactions on Information Theory 13(2), 1967) says when each word begins and ends. The acoustic model and the
pronouncing dictionary, of US English, are in the package; nothing is loaded from elsewhere.

The package normalises the score of every frame by the sound that fits it best. So a word's mean score a frame says how
well it fits whatever the recording's quality: it is the likelihood ratio that rates pronunciations (S. Witt and
S. Young, *Phone-level pronunciation scoring and assessment for interactive language learning*, Speech Communication
30, 2000).
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra.storage.resample import resampled
from infra.words.pronounce import guessed_sounds, spoken_parts
from services.errors import UnavailableError
from services.ports.word_aligner import AlignedWord, WordAligner

_RATE_HZ = 16_000
_FRAME_S = 0.01
_CENTRE_S = 0.0078
"""A frame hears 25.6 ms; between two frames lies the middle of their centres, this much after the second begins."""
_SCORE_NATS = 1_024 * math.log(1.0001)
"""The package's scores are logarithms of base 1.0001, without their lowest ten bits."""
_LEAST_S = 0.1
_MAX_ADDED = 10_000
_FILLERS = ("<", "[")


class PocketsphinxAligner:
    """Implements :class:`services.ports.word_aligner.WordAligner` for English; about 100 MB with its models.

    Ways that look hopeless are given up, which finds the place of words that are said. Where none is left, because some
    of the words are not said, every way is followed to its end, which takes nearly twice as long. The models are loaded
    when they are first needed. A fault of the package, which is written in C, ends the alignment at hand.
    """

    def __init__(self) -> None:
        self._models = (_Model(1e-60), _Model(0.0))

    def unable(self, language: str) -> str:
        """Return why texts of a language can not be aligned; empty if they can."""
        if language.partition("-")[0].casefold() not in ("en", "eng"):
            return f"in the language {language}: the model knows English only"
        return ""

    def align(
        self, samples: NDArray[np.float32], rate_hz: int, words: Sequence[str]
    ) -> tuple[AlignedWord | None, ...] | None:
        """See :meth:`services.ports.word_aligner.WordAligner.align`."""
        parts = [spoken_parts(word) for word in words]
        flat = [part for entry in parts for part in entry]
        if not flat or len(samples) < _LEAST_S * rate_hz:
            return None
        heard = _as_bytes(resampled(samples, rate_hz, _RATE_HZ))
        for model in self._models:
            guessed, places = model.places(heard, flat)
            if places is not None:
                return tuple(_joined(parts, places, guessed))
        return None


_Place = tuple[int, int, float]


class _Model:
    """The package's decoder, with the words that were added to its dictionary.

    Args:
        beam: How much less likely than the best a way may be that is still followed.
    """

    def __init__(self, beam: float) -> None:
        self._beam = beam
        self._decoder: Any = None
        self._added: set[str] = set()

    def places(self, heard: bytes, parts: Sequence[str]) -> tuple[set[str], list[_Place] | None]:
        """Return the words whose pronunciation is a guess, and (first frame, frame after the last, nats) of each."""
        try:
            decoder = self._ready()
            guessed = {part for part in parts if self._add(decoder, part)}
            return guessed, _decode(decoder, heard, parts)
        except (RuntimeError, ValueError, IndexError):
            self._decoder = None  # in which state a fault left it is not known
            return set(), None

    def _ready(self) -> Any:
        if self._decoder is None or len(self._added) > _MAX_ADDED:
            self._added = set()
            self._decoder = importlib.import_module("pocketsphinx").Decoder(
                lm=None,
                loglevel="FATAL",
                samprate=_RATE_HZ,
                beam=self._beam,
                pbeam=self._beam,
                wbeam=self._beam,
                bestpath=False,  # it would put an end mark of one frame after the last word
                compallsen=True,  # every sound is scored, so that the best of a frame is the best of all
            )
        return self._decoder

    def _add(self, decoder: Any, part: str) -> bool:
        """Put a word into the dictionary if it lacks it; returns whether its pronunciation is a guess."""
        if part in self._added:
            return True
        if decoder.lookup_word(part) is not None:
            return False
        decoder.add_word(part, guessed_sounds(part), False)
        self._added.add(part)
        return True


@functools.cache
def installed_aligner() -> WordAligner:
    """Return the aligner of this process, which keeps its model.

    Raises:
        UnavailableError: Its package is not installed.
    """
    if importlib.util.find_spec("pocketsphinx") is None:
        raise UnavailableError(
            "the package pocketsphinx is not installed; in Concord's folder: .venv/bin/pip install -e '.[words]'"
        )
    return PocketsphinxAligner()


def _as_bytes(samples: NDArray[np.float32]) -> bytes:
    loud = np.clip(np.nan_to_num(samples), -1.0, 1.0)
    # The last bit rustles, always alike: digital silence would be scored by what was heard before.
    rustle = np.random.default_rng(0).integers(-1, 2, len(loud))
    return (loud * 32_766 + rustle).astype("<i2").tobytes()


def _decode(decoder: Any, heard: bytes, parts: Sequence[str]) -> list[_Place] | None:
    # What the front end learned from earlier sound would change the answer.
    decoder.reinit_feat()
    decoder.set_align_text(" ".join(parts))
    decoder.start_utt()
    try:
        decoder.process_raw(heard, full_utt=True)
    finally:
        with suppress(RuntimeError):
            decoder.end_utt()
    if decoder.hyp() is None:
        return None
    places = [
        (one.start_frame, one.end_frame + 1, math.log(one.ascore) / math.log(1.0001) * _SCORE_NATS)
        for one in decoder.seg()
        if not one.word.startswith(_FILLERS)
    ]
    return places if len(places) == len(parts) else None


def _joined(
    parts: Sequence[Sequence[str]], places: Sequence[_Place], guessed: set[str]
) -> Sequence[AlignedWord | None]:
    words: list[AlignedWord | None] = []
    at = 0
    for entry in parts:
        own = places[at : at + len(entry)]
        at += len(entry)
        if not own:
            words.append(None)
            continue
        first, last = own[0][0], own[-1][1]
        frames = sum(end - start for start, end, _ in own)
        words.append(
            AlignedWord(
                start_s=round(first * _FRAME_S + (_CENTRE_S if first else 0.0), 4),
                end_s=round(last * _FRAME_S + _CENTRE_S, 4),
                misfit_nats=round(-sum(score for *_, score in own) / max(1, frames), 4),
                guessed=any(part in guessed for part in entry),
            )
        )
    return words
