"""The waveform with heard speech and labels, and the tracks over the frames."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from infra.render.canvas import (
    BLUE,
    CYCLE,
    FAINT,
    GREEN,
    GREY,
    INK,
    PAPER,
    SKY,
    VERMILLION,
    Key,
    Rgb,
    font,
    framed,
    readable_on,
    shortened,
)
from services.alignment.lidar_camera_scene import box_rows, cuboid_rows
from services.alignment.sample import AudioData, CheckSample
from services.alignment.speech_activity import HOP_S, MIN_RATE_HZ, detect_speech, runs_of
from services.alignment.suggestions import apply_suggestion
from services.contracts.findings import Finding
from services.contracts.label_base import TimedLabel
from services.contracts.labels_language import SpeakerTurn, TranscriptSegment
from services.rules.rule_set import RuleSet

_NAMES_PX = 190
_PLOT_PX = 1_400
_WAVE_PX = 150
_ROW_PX = 30
_AXIS_PX = 30
_AROUND_S = 5.0
_WHOLE_S = 60.0
_MAX_ROWS = 40
_MIN_TEXT_PX = 24


@dataclass(frozen=True, slots=True)
class _Bar:
    """A stretch of a row."""

    start: float
    end: float
    text: str = ""
    colour: Rgb = SKY
    strong: bool = False


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    bars: Sequence[_Bar]
    strong: bool = False


class _Axis:
    """A horizontal axis: values to pixels."""

    def __init__(self, start: float, end: float) -> None:
        self.start, self.end = start, max(end, start + 1e-3)

    def px(self, value: float) -> float:
        share = (value - self.start) / (self.end - self.start)
        return _NAMES_PX + min(max(share, 0.0), 1.0) * _PLOT_PX

    def ticks(self, *, whole: bool = False) -> Iterator[float]:
        raw = (self.end - self.start) / 10
        power = 10.0 ** math.floor(math.log10(raw))
        step = power * next(m for m in (1, 2, 5, 10) if m * power >= raw - 1e-12)
        if whole:
            step = max(step, 1.0)
        first = math.ceil(self.start / step - 1e-9)
        for number in range(first, math.floor(self.end / step + 1e-9) + 1):
            yield number * step


def waveform_pictures(sample: CheckSample, finding: Finding, rules: RuleSet) -> Iterator[tuple[str, Image.Image]]:
    """Yield (audio stream's id, picture) for each recording that the finding concerns.

    A finding with a short interval is shown with five seconds around it, any other over the whole recording. Where a
    movement is suggested, the labels are shown once more as they would be after it.
    """
    audio_ids = [stream.id for stream in sample.manifest.streams if stream.id in sample.audio]
    timed = [label for label in sample.annotations if isinstance(label, TimedLabel)]
    wanted = frozenset(finding.annotations)
    for name in audio_ids:
        own = [label for label in timed if label.stream == name or len(audio_ids) == 1]
        if name not in finding.streams and not any(label.id in wanted for label in own):
            continue
        audio = sample.audio[name]
        if not len(audio.samples):
            continue
        yield name, _waveform(sample, finding, rules, name, audio, own)


def _waveform(
    sample: CheckSample, finding: Finding, rules: RuleSet, name: str, audio: AudioData, labels: Sequence[TimedLabel]
) -> Image.Image:
    axis = _Axis(*_window(finding, audio))
    rows = [_heard(audio, rules)]
    rows += _label_rows(labels, frozenset(finding.annotations), "")
    if finding.suggestion is not None and finding.suggestion.time_shift is not None:
        after = apply_suggestion(sample.annotations, finding.suggestion)
        ids = frozenset(finding.annotations)
        moved = [label for label in after if isinstance(label, TimedLabel) and label.id in ids]
        rows += _label_rows(moved, frozenset(), "after the fix: ", GREEN)
    picture = Image.new("RGB", (_NAMES_PX + _PLOT_PX + 20, _WAVE_PX + _ROW_PX * len(rows) + _AXIS_PX + 10), PAPER)
    draw = ImageDraw.Draw(picture)
    _shade(draw, finding, axis, picture.height - _AXIS_PX)
    draw.text((4, _WAVE_PX / 2 - 8), shortened(draw, name, _NAMES_PX - 10, font(15)), font=font(15), fill=INK)
    _wave(draw, audio, axis)
    _rows(draw, rows, axis, _WAVE_PX)
    _ticks(draw, axis, picture.height - _AXIS_PX, " s")
    legend = [
        Key("waveform", GREY, "area"), Key("speech heard in it", BLUE, "area"), Key("labels", SKY, "area"),
        Key("labels concerned", VERMILLION, "area"),
    ]  # fmt: skip
    if finding.suggestion is not None and finding.suggestion.time_shift is not None:
        legend.append(Key("after the suggested movement", GREEN, "area"))
    if _is_part(finding, audio):
        legend.append(Key("the finding's interval", (255, 236, 200), "area"))
    return framed(picture, finding, f"recording {name}", legend)


def _is_part(finding: Finding, audio: AudioData) -> bool:
    span = finding.interval_s
    return span is not None and span[1] - span[0] < 0.9 * audio.duration_s


def _window(finding: Finding, audio: AudioData) -> tuple[float, float]:
    span = finding.interval_s
    if (
        span is None
        or not _is_part(finding, audio)
        or audio.duration_s <= 2 * _AROUND_S
        or span[1] - span[0] > _WHOLE_S
    ):
        return 0.0, audio.duration_s
    low, high = sorted(span)
    start = min(max(low - _AROUND_S, 0.0), max(audio.duration_s - 1.0, 0.0))
    return start, max(min(high + _AROUND_S, audio.duration_s + _AROUND_S), start + 1.0)


def _shade(draw: ImageDraw.ImageDraw, finding: Finding, axis: _Axis, bottom: float) -> None:
    span = finding.interval_s
    if span is not None and (span[0] > axis.start or span[1] < axis.end):
        low, high = sorted(span)
        draw.rectangle((axis.px(low), 0, max(axis.px(high), axis.px(low) + 2), bottom), fill=(255, 236, 200))


def _wave(draw: ImageDraw.ImageDraw, audio: AudioData, axis: _Axis) -> None:
    edges = np.linspace(axis.start, axis.end, _PLOT_PX + 1) * audio.rate_hz
    edges = np.clip(edges.astype(np.intp), 0, len(audio.samples))
    peak = float(np.abs(audio.samples).max(initial=0.0)) or 1.0
    middle, half = _WAVE_PX / 2, _WAVE_PX / 2 - 8
    draw.line((_NAMES_PX, middle, _NAMES_PX + _PLOT_PX, middle), fill=FAINT)
    for x in range(_PLOT_PX):
        part = audio.samples[edges[x] : edges[x + 1]]
        if len(part):
            low, high = float(part.min()) / peak, float(part.max()) / peak
            draw.line((_NAMES_PX + x, middle - high * half, _NAMES_PX + x, middle - low * half + 1), fill=GREY)


def _heard(audio: AudioData, rules: RuleSet) -> _Row:
    if audio.rate_hz < MIN_RATE_HZ:
        return _Row("heard (rate too low)", ())
    starts, ends = runs_of(detect_speech(audio, rules.audio_transcript.speech).active)
    bars = [_Bar(first * HOP_S, last * HOP_S, "", BLUE) for first, last in zip(starts, ends, strict=True)]
    return _Row("speech heard", bars)


def _label_rows(labels: Sequence[TimedLabel], wanted: frozenset[str], prefix: str, colour: Rgb = SKY) -> Iterator[_Row]:
    groups: dict[str, list[_Bar]] = defaultdict(list)
    for label in sorted(labels, key=lambda item: (item.start_s, item.id)):
        strong = label.id in wanted
        text = label.text if isinstance(label, TranscriptSegment) else label.label
        name = (
            label.speaker or "text"
            if isinstance(label, TranscriptSegment)
            else str(getattr(label, "type", "label")).replace("_", " ")
        )
        if isinstance(label, SpeakerTurn):
            name, text = f"turns {label.speaker}", label.speaker
        start, end = sorted((label.start_s, label.end_s))
        groups[f"{prefix}{name}"].append(_Bar(start, end, text, VERMILLION if strong else colour, strong))
    for name in sorted(groups)[:_MAX_ROWS]:
        yield _Row(name, groups[name], any(bar.strong for bar in groups[name]))


def _rows(draw: ImageDraw.ImageDraw, rows: Sequence[_Row], axis: _Axis, top: float) -> None:
    small = font(14)
    for number, row in enumerate(rows):
        y = top + _ROW_PX * number
        draw.line((0, y, _NAMES_PX + _PLOT_PX, y), fill=FAINT)
        draw.text(
            (4, y + 6),
            shortened(draw, row.name, _NAMES_PX - 10, small),
            font=small,
            fill=VERMILLION if row.strong else INK,
        )
        for bar in row.bars:
            if bar.end < axis.start or bar.start > axis.end:
                continue
            x0, x1 = axis.px(bar.start), axis.px(bar.end)
            x1 = max(x1, x0 + 2)
            draw.rectangle((x0, y + 4, x1, y + _ROW_PX - 4), fill=bar.colour, outline=INK, width=2 if bar.strong else 1)
            if bar.text and x1 - x0 > _MIN_TEXT_PX:
                text = shortened(draw, bar.text, x1 - x0 - 8, small)
                draw.text((x0 + 4, y + 7), text, font=small, fill=readable_on(bar.colour))


def _ticks(draw: ImageDraw.ImageDraw, axis: _Axis, y: float, unit: str, *, whole: bool = False) -> None:
    draw.line((_NAMES_PX, y, _NAMES_PX + _PLOT_PX, y), fill=INK)
    for value in axis.ticks(whole=whole):
        x = axis.px(value)
        draw.line((x, y, x, y + 5), fill=INK)
        text = f"{value:g}{unit}"
        width = draw.textlength(text, font=font(13))
        draw.text((min(x - width / 2, _NAMES_PX + _PLOT_PX + 18 - width), y + 8), text, font=font(13), fill=INK)


def timeline_picture(sample: CheckSample, finding: Finding) -> Image.Image | None:
    """Return the objects of the finding's streams over the frames; None unless there are two frames and an object.

    The finding's objects come first; at most forty are shown.
    """
    wanted = frozenset(finding.annotations)
    frames: dict[tuple[str, str], dict[int, tuple[str, bool]]] = defaultdict(dict)
    for stream in sample.manifest.streams:
        if finding.streams and stream.id not in finding.streams:
            continue
        for rows in (box_rows(sample.annotations, stream.id), cuboid_rows(sample.annotations, stream.id)):
            for name, frame, label, identity in zip(
                rows.ids, rows.frames.tolist(), rows.labels, rows.object_ids, strict=True
            ):
                if identity is not None:
                    frames[stream.id, identity][frame] = (label, name in wanted)
    every = {frame for track in frames.values() for frame in track}
    if len(every) < 2:
        return None
    ordered = sorted(frames, key=lambda key: (not any(strong for _, strong in frames[key].values()), key))
    classes = sorted({label for track in frames.values() for label, _ in track.values()})
    colours = {label: CYCLE[number % len(CYCLE)] for number, label in enumerate(classes)}
    rows_shown = [_track_row(key, frames[key], colours) for key in ordered[:_MAX_ROWS]]
    axis = _Axis(min(every), max(every) + 1)
    picture = Image.new("RGB", (_NAMES_PX + _PLOT_PX + 20, _ROW_PX * len(rows_shown) + _AXIS_PX + 10), PAPER)
    draw = ImageDraw.Draw(picture)
    for frame in finding.frames:
        draw.rectangle((axis.px(frame), 0, axis.px(frame + 1), picture.height - _AXIS_PX), fill=(255, 236, 200))
    _rows(draw, rows_shown, axis, 0)
    _ticks(draw, axis, picture.height - _AXIS_PX - 2, "", whole=True)
    legend = [Key(label, colours[label], "area") for label in classes[:12]]
    if finding.frames:
        legend.append(Key("the finding's frames", (255, 236, 200), "area"))
    legend.append(Key("name in this colour, thick outline: concerned", VERMILLION, "dot"))
    left = f", {len(ordered) - _MAX_ROWS} more objects not shown" if len(ordered) > _MAX_ROWS else ""
    return framed(picture, finding, f"objects over frames{left}", legend)


def _track_row(key: tuple[str, str], track: dict[int, tuple[str, bool]], colours: dict[str, Rgb]) -> _Row:
    bars: list[_Bar] = []
    for frame in sorted(track):
        label, strong = track[frame]
        last = bars[-1] if bars else None
        if last is not None and last.end == frame and last.text == label and last.strong == strong:
            bars[-1] = _Bar(last.start, frame + 1, label, last.colour, strong)
        else:
            bars.append(_Bar(frame, frame + 1, label, colours[label], strong))
    return _Row(f"{key[1]} · {key[0]}", bars, any(bar.strong for bar in bars))
