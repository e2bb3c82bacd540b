"""Recorded events as samples: kitchen videos, television dialogues and driver recordings, for the event checks."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

from services.alignment.sample import CheckSample
from services.contracts.annotations import Annotation
from services.contracts.labels_language import Emotion, Sentiment, SoundEvent, TranscriptSegment
from services.contracts.labels_visual import Action
from services.contracts.manifest import SampleManifest, Stream

PROJECT = "bench"
_DRIVER_FPS = 30.0


def seconds_of(text: str) -> float:
    """Return the seconds of a time such as ``00:01:02,345``."""
    hours, minutes, rest = text.replace(",", ".").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def kitchen_videos(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield EPIC videos: actions that were seen, and sounds that were heard by other people, each video a group."""
    folder = data / "epic"
    if not folder.is_dir():
        return
    videos, actions, sounds = (_rows(folder / f"{name}.csv") for name in ("videos", "actions", "sounds"))
    for video in videos:
        name = video["video_id"]
        labels: list[Annotation] = [
            Action(
                id=f"seen-{row['narration_id']}", stream="video", label=f"{row['verb']} {row['noun']}",
                start_s=seconds_of(row["start_timestamp"]), end_s=seconds_of(row["stop_timestamp"]),
            )
            for row in actions
            if row["video_id"] == name
        ]  # fmt: skip
        labels += [
            SoundEvent(
                id=f"heard-{row['annotation_id']}", stream="audio", label=row["class"],
                start_s=seconds_of(row["start_timestamp"]), end_s=seconds_of(row["stop_timestamp"]),
            )
            for row in sounds
            if row["video_id"] == name
        ]  # fmt: skip
        streams = (
            Stream(id="video", modality="video", duration_s=float(video["duration"])),
            Stream(id="audio", modality="audio"),
        )
        yield name, _sample(name, streams, labels)


def dialogues(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield MELD dialogues: text, emotion and sentiment of each utterance; a group is an episode.

    Times are seconds from the dialogue's earliest start; ``utterance_index`` numbers the utterances.
    """
    folder = data / "meld"
    for part in ("train", "dev", "test"):
        path = folder / f"{part}_sent_emo.csv"
        if not path.is_file():
            continue
        by_dialogue: dict[str, list[dict[str, str]]] = {}
        for row in _rows(path):
            by_dialogue.setdefault(row["Dialogue_ID"], []).append(row)
        for number, rows in by_dialogue.items():
            name = f"{part}-{number}"
            yield f"s{rows[0]['Season']}e{rows[0]['Episode']}", _dialogue(name, rows)


def _dialogue(name: str, rows: list[dict[str, str]]) -> CheckSample:
    begin_s = min(seconds_of(row["StartTime"]) for row in rows)
    labels: list[Annotation] = []
    for row in rows:
        index = int(row["Utterance_ID"])
        key = f"u{index}"
        start_s, end_s = (round(seconds_of(row[field]) - begin_s, 3) for field in ("StartTime", "EndTime"))
        speaker = re.sub(r"[^A-Za-z0-9]+", "-", row["Speaker"]).strip("-") or "unknown"
        number: dict[str, bool | int | float | str] = {"utterance_index": index}
        labels += [
            TranscriptSegment(
                id=f"said-{index}", stream="speech", object_id=key, text=row["Utterance"], speaker=speaker,
                start_s=start_s, end_s=end_s, attributes=number,
            ),
            Emotion(
                id=f"felt-{index}", stream="speech", object_id=key, label=row["Emotion"],
                start_s=start_s, end_s=end_s, attributes=number,
            ),
            Sentiment(id=f"meant-{index}", stream="text", object_id=key, label=row["Sentiment"], attributes=number),
        ]  # fmt: skip
    streams = (Stream(id="speech", modality="audio"), Stream(id="text", modality="text"))
    return _sample(name, streams, labels)


def driver_recordings(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield OpenLABEL driver recordings at 30 Hz: intervals of gaze, hands and activity."""
    path = data / "openlabel_vcd/tests/etc/openlabel100_test_VCD420_to_OpenLABEL100_dmd.json"
    if not path.is_file():
        return
    document = json.loads(path.read_text(encoding="utf-8"))["openlabel"]
    frames = document["frame_intervals"][-1]["frame_end"] + 1
    labels: list[Annotation] = [
        Action(
            id=f"a{number}-{place}", stream="face_camera", label=action["type"],
            start_s=interval["frame_start"] / _DRIVER_FPS, end_s=(interval["frame_end"] + 1) / _DRIVER_FPS,
        )
        for number, action in document["actions"].items()
        for place, interval in enumerate(action["frame_intervals"])
    ]  # fmt: skip
    stream = Stream(id="face_camera", modality="video", duration_s=frames / _DRIVER_FPS)
    yield "driver", _sample("driver", (stream,), labels)


def _sample(name: str, streams: tuple[Stream, ...], labels: list[Annotation]) -> CheckSample:
    manifest = SampleManifest(
        format="concord.sample/1", sample_id=name, project=PROJECT, streams=streams, annotations=tuple(labels)
    )
    return CheckSample(manifest=manifest, annotations=manifest.annotations)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
