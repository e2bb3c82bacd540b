from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from infra.checks.child import with_models
from infra.storage.resample import resampled
from infra.words.pocketsphinx_aligner import PocketsphinxAligner, installed_aligner
from infra.words.pronounce import guessed_sounds, spoken_parts
from services.alignment.sample import CheckSample
from services.ports.word_aligner import AlignedWord
from services.rules.audio_transcript import AudioTranscriptRules
from services.rules.rule_set import DEFAULT_RULE_SET
from services.rules.word_alignment import WordAlignmentRules
from tests.unit.spoken_calls import manifest_of

pytest.importorskip("pocketsphinx", reason="the extra 'words' is not installed")

SPOKEN = Path(__file__).resolve().parents[3] / "shared" / "data" / "praatio" / "examples" / "files"
needs_speech = pytest.mark.skipif(not SPOKEN.exists(), reason="the public recordings are not on this machine")

# Word edges that people set, seconds: the start of each word and the end of the last.
BY_HAND = {
    "mary": ("mary rolled the barrel", (0.3154, 0.6756, 0.9839, 1.0637, 1.5183)),
    "bobby": ("bobby ripped the ledger", (0.0647, 0.4116, 0.6577, 0.7408, 1.1171)),
    "damon_set_test": ("damon fried the omelet", (0.0513, 0.3021, 0.5050, 0.6150, 0.9166)),
}


@pytest.fixture(scope="module")
def aligner() -> PocketsphinxAligner:
    return PocketsphinxAligner()


def heard(name: str) -> tuple[NDArray[np.float32], int]:
    samples, rate_hz = soundfile.read(SPOKEN / f"{name}.wav", dtype="float32")
    return samples, int(rate_hz)


def placed(words: tuple[AlignedWord | None, ...] | None) -> list[AlignedWord]:
    assert words is not None
    found = [word for word in words if word is not None]
    assert len(found) == len(words)
    return found


@needs_speech
@pytest.mark.parametrize("name", BY_HAND)
def test_words_of_a_recording_begin_and_end_where_people_marked_them(aligner: PocketsphinxAligner, name: str) -> None:
    text, edges_s = BY_HAND[name]
    words = placed(aligner.align(*heard(name), text.split()))
    found = [*(word.start_s for word in words), words[-1].end_s]
    assert found == pytest.approx(edges_s, abs=0.08)
    assert max(word.misfit_nats for word in words) < 6.5


@needs_speech
def test_the_answer_does_not_depend_on_what_was_aligned_before(aligner: PocketsphinxAligner) -> None:
    first = aligner.align(*heard("mary"), ["mary", "rolled", "the", "barrel"])
    aligner.align(*heard("bobby"), ["bobby", "ripped", "the", "zzyzx"])
    assert aligner.align(*heard("mary"), ["mary", "rolled", "the", "barrel"]) == first
    assert PocketsphinxAligner().align(*heard("mary"), ["mary", "rolled", "the", "barrel"]) == first


@needs_speech
def test_a_recording_at_a_telephone_rate_has_its_words_at_the_same_times(aligner: PocketsphinxAligner) -> None:
    samples, rate_hz = heard("mary")
    wide = placed(aligner.align(samples, rate_hz, ["mary", "rolled", "the", "barrel"]))
    narrow = placed(aligner.align(resampled(samples, rate_hz, 8_000), 8_000, ["mary", "rolled", "the", "barrel"]))
    assert [word.start_s for word in narrow] == pytest.approx([word.start_s for word in wide], abs=0.06)


@needs_speech
def test_another_text_fits_worse_than_what_is_said(aligner: PocketsphinxAligner) -> None:
    right = placed(aligner.align(*heard("mary"), ["mary", "rolled", "the", "barrel"]))
    wrong = aligner.align(*heard("mary"), ["keep", "sixty", "fish", "out"])
    assert wrong is None or min(word.misfit_nats for word in placed(wrong)) > max(word.misfit_nats for word in right)


@needs_speech
def test_a_word_without_sound_is_left_out_and_one_of_no_dictionary_is_guessed(aligner: PocketsphinxAligner) -> None:
    words = aligner.align(*heard("mary"), ["Mary,", "—", "rolld", "the", "barrel!"])
    assert words is not None
    assert words[1] is None
    guesses = [word.guessed for word in words if word is not None]
    assert guesses == [False, True, False, False]


def test_words_with_silence_or_too_little_sound_are_no_alignment_and_do_no_harm(aligner: PocketsphinxAligner) -> None:
    assert aligner.align(np.zeros(0, dtype=np.float32), 16_000, ["hello"]) is None
    assert aligner.align(np.zeros(800, dtype=np.float32), 16_000, ["hello"]) is None
    assert aligner.align(np.zeros(4_000, dtype=np.float32), 16_000, ["many", "more", "words", "than", "fit"]) is None
    assert aligner.align(np.full(16_000, np.nan, dtype=np.float32), 16_000, ["…"]) is None
    again = aligner.align(np.zeros(16_000, dtype=np.float32), 16_000, ["hello"])
    assert again == PocketsphinxAligner().align(np.zeros(16_000, dtype=np.float32), 16_000, ["hello"])


@pytest.mark.parametrize(("language", "able"), [("en", True), ("en-GB", True), ("eng", True), ("de", False)])
def test_only_english_can_be_aligned_and_others_are_told_why(
    aligner: PocketsphinxAligner, language: str, *, able: bool
) -> None:
    reason = aligner.unable(language)
    assert (reason == "") is able
    assert able or ("language de:" in reason and "English" in reason)


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        ("Hello,", ("hello",)),
        ("“I\N{RIGHT SINGLE QUOTATION MARK}m”", ("i'm",)),
        ("twenty-one", ("twenty", "one")),
        ("café", ("cafe",)),
        ("Mr.", ("mr",)),
        ("end.", ("end",)),
        ("end.Then", ("end", "then")),
        ("'cause", ("cause",)),
        ("o'clock.'", ("o'clock",)),
        ("U.S.", ("u.s.",)),
        ("0", ("zero",)),
        ("42", ("forty", "two")),
        ("1,600", ("one", "thousand", "six", "hundred")),
        ("90210", ("nine", "zero", "two", "one", "zero")),
        ("—", ()),
        ("слово", ()),
        ("<sil>", ("sil",)),
        ("the(2)", ("the", "two")),
    ],
)
def test_a_written_word_is_read_as_words_of_the_dictionary(written: str, parts: tuple[str, ...]) -> None:
    assert spoken_parts(written) == parts


def test_every_word_has_a_guess_in_the_sounds_that_the_model_knows(aligner: PocketsphinxAligner) -> None:
    assert guessed_sounds("zork") == "Z AO R K"
    assert guessed_sounds("smythe") == "S M IY TH"
    decoder = aligner._models[0]._ready()
    for letters in ("abcdefghijklm", "nopqrstuvwxyz", "eighoughtiondgesch", "q", "e"):
        decoder.add_word(f"guess{letters}", guessed_sounds(letters), False)  # raises where a sound is not known


def test_rules_that_ask_for_words_get_the_aligner_or_the_reason_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = CheckSample(manifest_of(), ())
    asking = DEFAULT_RULE_SET.model_copy(update={"audio_transcript": AudioTranscriptRules(words=WordAlignmentRules())})
    assert with_models(sample, DEFAULT_RULE_SET).word_aligner is None
    assert with_models(sample, asking).word_aligner is installed_aligner()
    installed_aligner.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda name: None)
        told = with_models(sample, asking)
    assert told.word_aligner is None
    assert "pip install -e '.[words]'" in told.unavailable["word_aligner"]
