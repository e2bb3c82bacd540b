"""Where each word of a known text lies in a recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class AlignedWord:
    """One word with the place where it fits the sound best.

    Attributes:
        start_s: From the start of the samples, seconds.
        end_s: Where it ends, seconds.
        misfit_nats: How much less likely the sound is under this word than under the sounds that fit best, a frame
            of 10 ms, in nats; 0 is a perfect fit. What was said is near 3 in a clean recording and near 5 on the
            telephone, another text near 10.
        guessed: Whether its pronunciation was made by rule, since no dictionary has it.
    """

    start_s: float
    end_s: float
    misfit_nats: float
    guessed: bool = False


class WordAligner(Protocol):
    """Lays the words of a text over a recording in which they are said, in their order.

    The answer follows from what is given alone: not from what was aligned before, nor from the machine.
    """

    def unable(self, language: str) -> str:
        """Return why texts of a language (BCP 47, such as ``en-GB``) can not be aligned; empty if they can."""
        ...

    def align(
        self, samples: NDArray[np.float32], rate_hz: int, words: Sequence[str]
    ) -> tuple[AlignedWord | None, ...] | None:
        """Return one entry a word; None in place of a word that has no sound, such as one in another script.

        Args:
            samples: Shape (n,), mono, full scale is ±1; at most a minute or so: time and memory grow with it.
            rate_hz: Their rate.
            words: As they are written, punctuation included.

        Returns:
            The words' places; None if the text can not be laid over the samples at all.
        """
        ...
