from __future__ import annotations

import contextlib
import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from infra.storage.decode import decode_assets, decode_audio, decode_image_size, decode_points, decode_stream
from services.alignment.sample import AudioData
from services.contracts.manifest import SampleManifest, Stream
from services.errors import AssetError, AssetTooLargeError


def recording(samples: Any, rate_hz: int = 8_000, file_format: str = "WAV", subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=file_format, subtype=subtype)
    return file.getvalue()


def image(size: tuple[int, int], file_format: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size).save(file, format=file_format)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
        + b"".join(struct.pack(">I", 0) + end + struct.pack(">I", zlib.crc32(end)) for end in (b"IDAT", b"IEND"))
    )  # fmt: skip


@pytest.mark.parametrize(
    ("file_format", "subtype"), [("WAV", None), ("WAV", "FLOAT"), ("FLAC", None), ("OGG", "VORBIS")]
)
def test_a_recording_becomes_mono_float32(file_format: str, subtype: str | None) -> None:
    moment = np.linspace(0, 1, 8_000)
    stereo = np.stack([0.5 * np.sin(440 * moment), np.zeros_like(moment)], axis=1)
    audio = decode_audio(recording(stereo, file_format=file_format, subtype=subtype), name="a")
    assert audio.samples.dtype == np.float32
    assert audio.samples.shape == (8_000,)
    assert audio.rate_hz == 8_000
    assert audio.duration_s == pytest.approx(1)
    assert np.abs(audio.samples - stereo.mean(axis=1)).max() < 0.05


def test_a_recording_longer_than_one_block_is_whole() -> None:
    samples = np.random.default_rng(1).uniform(-0.5, 0.5, 200_001).astype(np.float32)
    assert np.array_equal(decode_audio(recording(samples, subtype="FLOAT"), name="a").samples, samples)


def test_a_recording_too_large_once_decoded_is_refused_before_it_is_decoded() -> None:
    silence = recording(np.zeros(1_000_000), file_format="FLAC")
    assert len(silence) < 50_000
    with pytest.raises(AssetTooLargeError):
        decode_audio(silence, name="a", max_bytes=100_000)


def test_a_header_that_promises_more_than_there_is_takes_no_memory() -> None:
    bomb = bytearray(recording(np.zeros(100)))
    bomb[40:44] = struct.pack("<I", 0xFFFFFFF0)
    bomb[4:8] = struct.pack("<I", 0xFFFFFFFF)
    with contextlib.suppress(AssetError):
        assert len(decode_audio(bytes(bomb), name="a").samples) <= 100


@pytest.mark.parametrize(
    "data", [b"", b"RIFF", b"\x00" * 100, b"OggS" + b"\xff" * 50, b"fLaC" + b"\x00" * 40, recording(np.zeros(50))[:30]]
)
def test_a_recording_that_can_not_be_decoded_is_an_asset_error(data: bytes) -> None:
    with pytest.raises(AssetError, match="'a'"):
        decode_audio(data, name="a")


def test_an_unsupported_recording_names_what_is_supported() -> None:
    with pytest.raises(AssetError, match="WAV, FLAC and Ogg"):
        decode_audio(recording(np.zeros(50), file_format="AIFF"), name="a")


def test_samples_that_are_not_finite_are_refused() -> None:
    samples = np.zeros(50, dtype=np.float32)
    samples[7] = np.nan
    with pytest.raises(AssetError, match="finite"):
        decode_audio(recording(samples, subtype="FLOAT"), name="a")


def test_a_scan_loses_its_intensity_and_points_that_are_not_finite() -> None:
    points = np.array([[1, 2, 3, 0.5], [np.nan, 0, 0, 0], [4, 5, np.inf, 0], [7, 8, 9, np.nan]], dtype="<f4")
    decoded = decode_points(points.tobytes(), name="l")
    assert decoded.dtype == np.float32
    assert decoded.tolist() == [[1, 2, 3], [7, 8, 9]]
    decoded[0, 0] = 5
    assert decode_points(b"", name="l").shape == (0, 3)


@pytest.mark.parametrize("data", [b"x" * 17, b"\x93NUMPY" + b"\x00" * 10, b"# .PCD v0.7\n" + b"\x00" * 4])
def test_a_cloud_in_another_format_names_what_is_supported(data: bytes) -> None:
    with pytest.raises(AssetError, match="KITTI"):
        decode_points(data, name="l")


def test_a_cloud_with_too_many_points_is_refused() -> None:
    with pytest.raises(AssetTooLargeError):
        decode_points(b"\x00" * 16 * 11, name="l", max_points=10)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
def test_an_images_size_is_read(file_format: str) -> None:
    assert decode_image_size(image((31, 17), file_format), name="i") == (31, 17)


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (2**31 - 1, 1), (1, 2**31 - 1)])
def test_a_decompression_bomb_is_refused_by_its_header(width: int, height: int) -> None:
    with pytest.raises(AssetTooLargeError):
        decode_image_size(png_header(width, height), name="i")


def test_a_large_photograph_is_no_bomb() -> None:
    assert decode_image_size(png_header(15_000, 15_000), name="i") == (15_000, 15_000)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"GIF89a" + b"\x00" * 20, b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", png_header(0, 5), b"<svg/>",
        image((5, 5), "PNG")[:20], image((5, 5), "BMP"), image((5, 5), "JPEG")[:40],
        b"\x89PNG\r\n\x1a\n" + b"\xff" * 100,
    ],
)  # fmt: skip
def test_what_is_no_image_is_an_asset_error(data: bytes) -> None:
    with pytest.raises(AssetError, match="'i'"):
        decode_image_size(data, name="i")


def test_a_sample_is_decoded_by_the_modality_of_its_streams() -> None:
    streams = (
        Stream(id="cam", modality="image"),
        Stream(id="mic", modality="audio"),
        Stream(id="lid", modality="lidar"),
        Stream(id="txt", modality="text"),
        Stream(id="off", modality="image"),
    )
    manifest = SampleManifest(format="concord.sample/1", sample_id="s", project="p", streams=streams)
    data = {"cam": image((4, 3), "PNG"), "mic": recording(np.zeros(80)), "lid": b"\x00" * 32, "txt": b"hello"}
    decoded = decode_assets(manifest, data)
    assert decoded.image_sizes_px == {"cam": (4, 3)}
    assert set(decoded.audio) == {"mic"}
    assert decoded.clouds_m["lid"].shape == (2, 3)
    assert isinstance(decode_stream(streams[1], data["mic"]), AudioData)
    assert decode_stream(streams[3], data["txt"]) is None
    with pytest.raises(AssetError) as refused:
        decode_assets(manifest, {**data, "lid": b"x"})
    assert refused.value.places[0][0] == "/streams/2/uri"
