"""What a check is given: the manifest, the labels, and the decoded assets as arrays. No I/O happens here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from services.contracts.annotations import Annotation
from services.contracts.consensus import Consensus
from services.contracts.findings import Finding, NotApplicable
from services.contracts.manifest import SampleManifest
from services.ports.text_encoder import TextEncoder
from services.ports.word_aligner import WordAligner


@dataclass(frozen=True, slots=True)
class AudioData:
    """A decoded recording, mixed to mono.

    Attributes:
        samples: Shape (n,), float32, full scale is ±1.
        rate_hz: Sampling rate.
    """

    samples: NDArray[np.float32]
    rate_hz: int

    @property
    def duration_s(self) -> float:
        """Length of the recording in seconds."""
        return len(self.samples) / self.rate_hz


@dataclass(frozen=True, slots=True)
class AssetFacts:
    """What a file says about its own origin, such as a photo's EXIF.

    Attributes:
        make: Maker of the device.
        model: The device's model.
        serial: The device's serial number.
        camera_at: The device's clock when it recorded; without a time zone where the file states none.
        gps_at: Time of the position fix, aware UTC.
        latitude_deg: WGS 84.
        longitude_deg: WGS 84.
        sha256: Of the bytes that were read, lower-case hex.
    """

    make: str | None = None
    model: str | None = None
    serial: str | None = None
    camera_at: datetime | None = None
    gps_at: datetime | None = None
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class ReadText:
    """What a machine reads in a region of a picture.

    Attributes:
        text: Empty if it sees no text.
        confidence: Its own, 0 to 1.
    """

    text: str
    confidence: float


@dataclass(frozen=True, slots=True)
class CheckSample:
    """One sample as the checks see it; a missing key means that there was no such asset.

    Attributes:
        manifest: The manifest; its own ``annotations`` are those it arrived with.
        annotations: The labels to check: the newest label set.
        audio: Decoded recordings by stream id.
        clouds_m: Points by stream id, shape (n, 3), float32, metres, in the stream's coordinate frame.
        image_sizes_px: (width, height) by stream id.
        texts: What text assets say, by stream id; text in the manifest itself is not repeated here.
        asset_facts: What the files say about their own origin, by stream id.
        region_texts: What OCR reads in the regions of labels, by label id, where the rule set asks for it.
        text_encoder: A model of meaning, where the rule set asks for one and it is there.
        word_aligner: Finds words in recordings, where the rule set asks for it and it is there.
        consensus: What several people's answers said together, where they were joined to the labels.
        unavailable: Why what the rule set asks for is not there: by ``text_encoder``, ``word_aligner``, or ``ocr:`` and
            the stream.
    """

    manifest: SampleManifest
    annotations: tuple[Annotation, ...]
    audio: Mapping[str, AudioData] = field(default_factory=dict)
    clouds_m: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    image_sizes_px: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    asset_facts: Mapping[str, AssetFacts] = field(default_factory=dict)
    region_texts: Mapping[str, ReadText] = field(default_factory=dict)
    text_encoder: TextEncoder | None = None
    word_aligner: WordAligner | None = None
    consensus: Consensus | None = None
    unavailable: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """What one check found.

    Attributes:
        findings: Disagreements to show, causes included.
        folded: Symptoms that one of ``findings`` explains by its cause.
        not_applicable: Inputs that were missing, with the reason.
    """

    findings: tuple[Finding, ...] = ()
    folded: tuple[Finding, ...] = ()
    not_applicable: tuple[NotApplicable, ...] = ()
