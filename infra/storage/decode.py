"""Bytes to arrays: what the checks are given of a stream's asset. Sizes are capped before memory is taken."""

from __future__ import annotations

import io
import re
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import ExifTags, Image, JpegImagePlugin, PngImagePlugin

from infra.storage.whole import why_not_whole
from services.alignment.sample import AssetFacts, AudioData
from services.contracts.manifest import SampleManifest, Stream
from services.errors import AssetError, AssetTooLargeError

MAX_AUDIO_BYTES = 512 * 1024 * 1024
MAX_IMAGE_PIXELS = 250_000_000
MAX_POINTS = 20_000_000
MAX_TEXT_BYTES = 2 * 1024 * 1024

MAX_FILE_BYTES: Mapping[str, int] = MappingProxyType(
    {"audio": 2 * MAX_AUDIO_BYTES, "image": 512 * 1024**2, "lidar": 512 * 1024**2, "radar": 512 * 1024**2,
     "text": 512 * 1024**2}
)  # fmt: skip
"""By modality the largest file that could be decoded within the other limits; files of other modalities are not."""

_AUDIO_BEGINNINGS = (b"RIFF", b"RIFX", b"RF64", b"fLaC", b"OggS")
_AUDIO_FORMATS = frozenset({"WAV", "WAVEX", "RF64", "FLAC", "OGG"})
_EXIF_TIME = re.compile(r"(\d{4}):(\d{2}):(\d{2})[ T](\d{2}):(\d{2}):(\d{2})")
_EXIF_DAY = re.compile(r"(\d{4}):(\d{2}):(\d{2})")
_EXIF_ZONE = re.compile(r"([+-])(\d{2}):(\d{2})")
_MIN_RATE_HZ, _MAX_RATE_HZ = 100, 10_000_000
_BLOCK_FRAMES = 1 << 16
_POINT_FIELDS = 4
_NUSCENES_FIELDS = 5
_OTHER_CLOUDS = (b"\x93NUMPY", b"# .PCD", b"VERSION", b"ply\n", b"ply\r", b"LASF")

Decoded = AudioData | NDArray[np.float32] | tuple[int, int]
"""A recording, points of shape (n, 3) in metres, or an image's (width, height) in pixels."""


@dataclass(frozen=True, slots=True)
class DecodedAssets:
    """What could be decoded of a sample, by stream id, in the shapes of ``CheckSample``."""

    audio: Mapping[str, AudioData] = field(default_factory=dict)
    clouds_m: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    image_sizes_px: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def decode_assets(manifest: SampleManifest, bytes_by_stream: Mapping[str, bytes]) -> DecodedAssets:
    """Decode the assets of a sample.

    Args:
        manifest: The sample.
        bytes_by_stream: Bytes by stream id; a stream without is left out, and so is one whose modality the
            checks take no arrays of.

    Raises:
        AssetError: An asset can not be decoded; the place names its stream.
        AssetTooLargeError: An asset is too large once decoded.
    """
    audio: dict[str, AudioData] = {}
    clouds_m: dict[str, NDArray[np.float32]] = {}
    sizes_px: dict[str, tuple[int, int]] = {}
    for index, stream in enumerate(manifest.streams):
        if stream.id not in bytes_by_stream:
            continue
        try:
            decoded = decode_stream(stream, bytes_by_stream[stream.id])
        except AssetError as error:
            raise type(error)(error.detail, places=((f"/streams/{index}/uri", error.detail),)) from error
        if isinstance(decoded, AudioData):
            audio[stream.id] = decoded
        elif isinstance(decoded, np.ndarray):
            clouds_m[stream.id] = decoded
        elif decoded is not None:
            sizes_px[stream.id] = decoded
    return DecodedAssets(audio=audio, clouds_m=clouds_m, image_sizes_px=sizes_px)


def decode_stream(stream: Stream, data: bytes) -> Decoded | None:
    """Decode one stream's asset; None for a modality that the checks take no arrays of.

    Raises:
        AssetError: The bytes are not of a supported format.
        AssetTooLargeError: They are too large once decoded.
    """
    if stream.modality == "audio":
        return decode_audio(data, name=stream.id)
    if stream.modality in ("lidar", "radar"):
        fields = _NUSCENES_FIELDS if (stream.uri or "").split("?")[0].endswith(".pcd.bin") else _POINT_FIELDS
        return decode_points(data, name=stream.id, fields=fields)
    if stream.modality == "image":
        return decode_image_size(data, name=stream.id)
    return None


def decode_audio(data: bytes, *, name: str, max_bytes: int = MAX_AUDIO_BYTES) -> AudioData:
    """Decode a WAV, FLAC or Ogg recording and mix it to mono by the mean of its channels.

    Args:
        data: The file's bytes.
        name: The stream, for messages.
        max_bytes: Cap on 4 bytes for every frame of every channel, whatever the header says.

    Raises:
        AssetError: It is no such recording, is cut off or damaged, or has a sampling rate that none has.
        AssetTooLargeError: It is too large once decoded.
    """
    # On anything else libsndfile tries its MPEG decoder, which talks on standard error.
    if not data.startswith(_AUDIO_BEGINNINGS):
        raise AssetError(
            f"the recording {name!r} can not be decoded as WAV, FLAC or Ogg: it does not begin as one does; "
            "supported are WAV, FLAC and Ogg"
        )
    _ensure_whole(data, f"the recording {name!r}")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            if file.format not in _AUDIO_FORMATS:
                raise AssetError(f"the recording {name!r} is {file.format}; supported are WAV, FLAC and Ogg")
            limit = max_bytes // (4 * file.channels)
            if file.frames > limit:
                raise _too_long(name, max_bytes)
            rate_hz, promised = int(file.samplerate), file.frames
            if not _MIN_RATE_HZ <= rate_hz <= _MAX_RATE_HZ:
                raise AssetError(
                    f"the recording {name!r} says it has {rate_hz} samples a second; recordings have {_MIN_RATE_HZ} to "
                    f"{_MAX_RATE_HZ}, so its header is wrong"
                )
            blocks: list[NDArray[np.float32]] = []
            frames = 0
            while len(block := file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)):
                frames += len(block)
                if frames > limit:
                    raise _too_long(name, max_bytes)
                with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is told below
                    blocks.append(block.mean(axis=1, dtype=np.float32))
    except (soundfile.SoundFileError, RuntimeError, ValueError, TypeError) as error:
        # Its whole text names the object in memory that was read.
        why = error.error_string if isinstance(error, soundfile.LibsndfileError) else error
        raise AssetError(f"the recording {name!r} can not be decoded as WAV, FLAC or Ogg: {why}") from error
    if frames < promised:
        raise AssetError(
            f"the recording {name!r} is cut off or damaged: its header tells of {promised} samples, and {frames} can "
            "be decoded; get the whole file"
        )
    samples = np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32)
    if not np.isfinite(samples).all():
        raise AssetError(f"the recording {name!r} holds samples that are not finite numbers")
    return AudioData(samples=samples, rate_hz=rate_hz)


def _ensure_whole(data: bytes, what: str) -> None:
    why = why_not_whole(data)
    if why is not None:
        raise AssetError(f"{what} is cut off or damaged: {why}; get the whole file")


def _too_long(name: str, max_bytes: int) -> AssetTooLargeError:
    return AssetTooLargeError(f"the recording {name!r} has more than {max_bytes} bytes once decoded; split it")


def decode_points(
    data: bytes, *, name: str, max_points: int = MAX_POINTS, fields: int = _POINT_FIELDS
) -> NDArray[np.float32]:
    """Decode a scan of little-endian float32 x, y, z, intensity. Points that are not finite are left out.

    Args:
        data: The file's bytes.
        name: The stream, for messages.
        max_points: Cap on the points.
        fields: Numbers a point: 4 as in KITTI's ``.bin``, or 5 as in nuScenes' ``.pcd.bin``, where a ring follows.

    Returns:
        Shape (n, 3), metres, in the sensor's frame.
    """
    supported = (
        "supported are the layouts of KITTI (.bin: float32 x, y, z, intensity) and nuScenes (.pcd.bin: and ring)"
    )
    if data.startswith(_OTHER_CLOUDS):
        raise AssetError(f"the cloud {name!r} is not in a supported format; {supported}")
    if len(data) % (4 * fields):
        raise AssetError(f"the cloud {name!r} has {len(data)} bytes, which is no multiple of {4 * fields}; {supported}")
    if len(data) // (4 * fields) > max_points:
        raise AssetTooLargeError(f"the cloud {name!r} has more than {max_points} points")
    points = np.frombuffer(data, dtype="<f4").reshape(-1, fields)[:, :3].astype(np.float32)
    return points[np.isfinite(points).all(axis=1)]


def decode_image_size(data: bytes, *, name: str, max_pixels: int = MAX_IMAGE_PIXELS) -> tuple[int, int]:
    """Read (width, height) in pixels, as stored, from the header of a PNG or JPEG that is whole; no pixel is decoded.

    Pillow's classes for the two formats are used directly: no other format is tried on what a stranger sent, and
    the size is judged here and not by Pillow's process-wide setting.
    """
    _ensure_whole(data, f"the image {name!r}")
    try:
        picture = _opened(data)
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, OverflowError, struct.error) as error:
        raise AssetError(f"the image {name!r} can not be decoded: {error}") from error
    if picture is None:
        raise AssetError(f"the image {name!r} is not in a supported format; supported are PNG and JPEG")
    width, height = picture.size
    if width < 1 or height < 1:
        raise AssetError(f"the image {name!r} has no pixels")
    if width * height > max_pixels:
        raise AssetTooLargeError(f"the image {name!r} is {width} x {height} pixels; at most {max_pixels} are allowed")
    return int(width), int(height)


def _opened(data: bytes) -> JpegImagePlugin.JpegImageFile | PngImagePlugin.PngImageFile | None:
    """Read the header of a PNG or JPEG; None for anything else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is odd about a stranger's header is no news on our standard error
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return PngImagePlugin.PngImageFile(io.BytesIO(data))
        if data.startswith(b"\xff\xd8\xff"):
            return JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    return None


def decode_text(data: bytes, *, name: str, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Decode a text file as UTF-8, with or without a byte order mark.

    Args:
        data: The file's bytes.
        name: The stream, for messages.
        max_bytes: Largest text.

    Raises:
        AssetError: It is not UTF-8, or holds NUL; names the byte.
        AssetTooLargeError: It is longer than what is judged.
    """
    if len(data) > max_bytes:
        raise AssetTooLargeError(f"the text {name!r} has {len(data)} bytes; at most {max_bytes} are read")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AssetError(f"the text {name!r} is not UTF-8 at byte {error.start}; save it as UTF-8") from error
    if "\x00" in text:
        raise AssetError(f"the text {name!r} holds the NUL character at byte {data.index(0)}; save it as UTF-8 text")
    return text


def read_facts(stream: Stream, data: bytes, *, sha256: str) -> AssetFacts:
    """Return what a file says about its own origin: its hash, and the EXIF of a JPEG or PNG.

    EXIF is written by many devices and often damaged: an entry that can not be read is left out, and so is a
    date such as ``0000:00:00`` or a position outside the earth. No pixel is decoded.

    Args:
        stream: The stream that the file belongs to.
        data: The file's bytes.
        sha256: Their hash.
    """
    if stream.modality != "image":
        return AssetFacts(sha256=sha256)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = _opened(data)
            return AssetFacts(sha256=sha256) if picture is None else _facts_of(picture.getexif(), sha256)
    except Exception:  # what a stranger wrote into EXIF breaks parsers in many ways; it is no fault here
        return AssetFacts(sha256=sha256)


def _facts_of(exif: Image.Exif, sha256: str) -> AssetFacts:
    details, gps = exif.get_ifd(ExifTags.IFD.Exif), exif.get_ifd(ExifTags.IFD.GPSInfo)
    latitude = _degrees(gps.get(ExifTags.GPS.GPSLatitude), gps.get(ExifTags.GPS.GPSLatitudeRef), 90.0)
    longitude = _degrees(gps.get(ExifTags.GPS.GPSLongitude), gps.get(ExifTags.GPS.GPSLongitudeRef), 180.0)
    if latitude is None or longitude is None:
        latitude = longitude = None
    taken = details.get(ExifTags.Base.DateTimeOriginal) or details.get(ExifTags.Base.DateTimeDigitized)
    return AssetFacts(
        make=_exif_text(exif.get(ExifTags.Base.Make)),
        model=_exif_text(exif.get(ExifTags.Base.Model)),
        serial=_exif_text(details.get(ExifTags.Base.BodySerialNumber)),
        camera_at=_exif_time(taken, details.get(ExifTags.Base.OffsetTimeOriginal)),
        gps_at=_gps_time(gps.get(ExifTags.GPS.GPSDateStamp), gps.get(ExifTags.GPS.GPSTimeStamp)),
        latitude_deg=latitude,
        longitude_deg=longitude,
        sha256=sha256,
    )


def _exif_text(value: object) -> str | None:
    text = value.replace("\x00", "").strip() if isinstance(value, str) else ""
    return text[:200] or None


def _exif_time(value: object, offset: object) -> datetime | None:
    match = _EXIF_TIME.match(value) if isinstance(value, str) else None
    if match is None:
        return None
    zone = _EXIF_ZONE.match(offset) if isinstance(offset, str) else None
    try:
        at = datetime(*(int(part) for part in match.groups()))  # type: ignore[arg-type] # noqa: DTZ001 - zone follows
        if zone is None:
            return at
        sign = -1 if zone.group(1) == "-" else 1
        return at.replace(tzinfo=timezone(sign * timedelta(hours=int(zone.group(2)), minutes=int(zone.group(3)))))
    except ValueError:
        return None


def _gps_time(day: object, clock: object) -> datetime | None:
    match = _EXIF_DAY.match(day) if isinstance(day, str) else None
    if match is None or not isinstance(clock, tuple) or len(clock) != 3:
        return None
    try:
        year, month, date = (int(part) for part in match.groups())
        hours, minutes, seconds = (float(part) for part in clock)
        return datetime(year, month, date, tzinfo=UTC) + timedelta(hours=hours, minutes=minutes, seconds=seconds)
    except (ValueError, OverflowError, ZeroDivisionError):
        return None


def _degrees(value: object, reference: object, limit: float) -> float | None:
    if not isinstance(value, tuple) or len(value) != 3 or not isinstance(reference, str):
        return None
    try:
        degrees, minutes, seconds = (float(part) for part in value)
    except (ValueError, ZeroDivisionError):
        return None
    found = degrees + minutes / 60 + seconds / 3600
    if not 0 <= found <= limit:
        return None  # not a number fails this too
    return -found if reference[:1].upper() in ("S", "W") else found
