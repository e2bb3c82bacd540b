"""Damaged recordings, pictures, clouds and texts: decoded whole, or a finding that says what is wrong with them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import TypeAdapter

from infra.checks.child import check_sample
from infra.checks.process import ReaderConfig
from infra.storage.decode import decode_stream, decode_text, read_facts
from services.alignment.sample import AudioData
from services.contracts.annotations import Annotations
from services.contracts.findings import CheckReport
from services.contracts.manifest import Stream
from services.errors import AssetError
from services.rules.rule_set import DEFAULT_RULE_SET
from tests.format_documents import MANIFEST, labels
from tests.mutations import damaged, examples
from tests.unit.test_storage_decode import recording

_CHANCE = np.random.default_rng(1)
_NOISE = _CHANCE.uniform(-0.5, 0.5, 4_000)


def _picture(form: str) -> bytes:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    Image.fromarray(_CHANCE.integers(0, 255, (24, 32, 3), dtype=np.uint8)).save(file, format=form, exif=exif)
    return file.getvalue()


ASSETS: dict[str, tuple[str, bytes]] = {
    "WAV": ("audio", recording(_NOISE)),
    "WAV of floats": ("audio", recording(_NOISE, subtype="FLOAT")),
    "RF64": ("audio", recording(_NOISE, file_format="RF64")),
    "FLAC": ("audio", recording(_NOISE, file_format="FLAC")),
    "Ogg Vorbis": ("audio", recording(_NOISE, 16_000, file_format="OGG", subtype="VORBIS")),
    "Ogg Opus": ("audio", recording(_NOISE, 16_000, file_format="OGG", subtype="OPUS")),
    "PNG": ("image", _picture("PNG")),
    "JPEG": ("image", _picture("JPEG")),
    "cloud": ("lidar", _CHANCE.uniform(-30, 30, (300, 4)).astype("<f4").tobytes()),
    "text": ("text", "Zwei rote Autos und ein Bus; vor dem Café steht niemand.".encode()),
}
"""Modality and bytes of one valid asset of each kind."""

_RULES = DEFAULT_RULE_SET.model_dump_json(exclude_none=True).encode()
_LABELS = TypeAdapter(Annotations).dump_json(labels(), exclude_none=True)
_STREAM_OF = {"audio": "mic", "lidar": "lidar", "image": "cam", "text": "cam"}


def decoded(kind: str, data: bytes) -> object:
    modality, _ = ASSETS[kind]
    stream = Stream.model_validate({"id": "asset", "modality": modality, "uri": "asset"})
    read_facts(stream, data, sha256="0" * 64)  # a fault there is none of the asset's
    return decode_text(data, name="asset") if modality == "text" else decode_stream(stream, data)


def report(kind: str, data: bytes, folder: Path) -> CheckReport:
    """What ``concord check`` says of a sample with every kind of label and one such asset."""
    modality, _ = ASSETS[kind]
    path = folder / "asset"
    path.write_bytes(data)
    document: dict[str, Any] = MANIFEST.model_dump(mode="json", exclude_none=True)
    for stream in document["streams"]:
        stream.pop("uri")
        if stream["id"] == _STREAM_OF[modality]:
            stream |= {"uri": path.as_uri(), "modality": modality}
    config = ReaderConfig(roots=(folder,), max_bytes=1 << 24, timeout_s=60.0)
    return CheckReport.model_validate_json(check_sample(config, json.dumps(document).encode(), _LABELS, _RULES))


@pytest.mark.parametrize("kind", ASSETS)
def test_a_whole_asset_is_no_finding(kind: str, tmp_path: Path) -> None:
    assert decoded(kind, ASSETS[kind][1]) is not None
    told = report(kind, ASSETS[kind][1], tmp_path)
    assert [finding for finding in told.findings if finding.kind == "asset_unreadable"] == []


@pytest.mark.parametrize("kind", ASSETS)
@examples(20)
@given(data=st.data())
def test_a_damaged_asset_is_decoded_or_refused_with_its_stream(kind: str, data: st.DataObject) -> None:
    damage = data.draw(damaged(ASSETS[kind][1]))
    try:
        found = decoded(kind, damage)
    except AssetError as error:
        _assert_told(error)
        return
    if isinstance(found, AudioData):
        assert np.isfinite(found.samples).all()
        assert found.duration_s < 1e4


def _assert_told(error: AssetError) -> None:
    assert "'asset'" in error.detail
    assert " at 0x" not in error.detail


@pytest.mark.parametrize("kind", sorted(set(ASSETS) - {"cloud", "text"}))
@examples(10)
@given(data=st.data())
def test_a_recording_or_picture_that_is_cut_off_is_told(kind: str, data: st.DataObject) -> None:
    whole = ASSETS[kind][1]
    # The headers of some programs promise a few bytes too many.
    slack = 200 if kind.startswith(("WAV", "RF64")) else 1
    cut = data.draw(st.integers(0, len(whole) - slack))
    with pytest.raises(AssetError, match="'asset'"):
        decoded(kind, whole[:cut])


@pytest.mark.parametrize("kind", ASSETS)
@examples(3)
@given(data=st.data())
def test_a_sample_with_a_damaged_asset_is_checked(kind: str, data: st.DataObject, tmp_path: Path) -> None:
    damage = data.draw(damaged(ASSETS[kind][1]))
    told = report(kind, damage, tmp_path)
    unreadable = [finding for finding in told.findings if finding.kind == "asset_unreadable"]
    try:
        decoded(kind, damage)
    except AssetError:
        assert [finding.streams for finding in unreadable] == [(_STREAM_OF[ASSETS[kind][0]],)]
        return
    assert unreadable == []


@examples(8)
@given(st.binary(min_size=64, max_size=64).map(lambda seed: np.frombuffer(seed * 60, dtype="<f4")))
def test_any_numbers_are_a_cloud(tmp_path: Path, numbers: Any) -> None:
    report("cloud", numbers.tobytes(), tmp_path)
