"""Measure the ``audio_transcript`` check: ``python -m tests.benchmarks.measure_audio_transcript``.

Faults with known truth are put into made-up calls whose labels fit (other seeds than those of the tests), and into the
recorded call where it is on this machine. Prints a table: fault, injected, found, the largest error, and the false
alarms on the clean calls; then the seconds that one hour of sound takes.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence

import numpy as np

from services.alignment.audio_transcript import check_audio_transcript
from services.alignment.sample import AudioData
from services.contracts.findings import Finding
from services.contracts.labels_language import TranscriptSegment
from services.rules.rule_set import DEFAULT_RULE_SET
from tests.unit.spoken_calls import DATA, Call, made_call, moved, real_call, segment

SEEDS = range(1_000, 1_020)
SHIFTS_S = (1.5, -1.5, 0.5, 3.0)
DRIFTS = (0.005, -0.01, 0.03)


def found(call: Call, labels: Sequence[TranscriptSegment]) -> tuple[Finding, ...]:
    return check_audio_transcript(call.sample([*labels, *call.turns]), DEFAULT_RULE_SET).findings


def line(*columns: object) -> None:
    sys.stdout.write("".join(f"{column!s:<26}" for column in columns).rstrip() + "\n")


def measure(name: str, calls: Sequence[Call]) -> None:
    line(name, "injected", "found alone", "largest error")
    clean: Counter[str] = Counter()
    for call in calls:
        clean.update(f"{finding.kind} ({finding.severity})" for finding in found(call, call.segments))
    for shift_s in SHIFTS_S:
        errors = []
        for call in calls:
            findings = found(call, moved(call.segments, shift_s))
            if [finding.kind for finding in findings] == ["offset"] and findings[0].measured is not None:
                errors.append(abs(findings[0].measured.value - shift_s))
        line(f"offset {shift_s:+g} s", len(calls), len(errors), f"{max(errors, default=float('nan')):.3f} s")
    long_calls = [call for call in calls if call.audio.duration_s > 100]
    for drift in DRIFTS if long_calls else ():
        errors = []
        for call in long_calls:
            findings = found(call, moved(call.segments, 0.0, drift))
            if [finding.kind for finding in findings] == ["drift"] and findings[0].measured is not None:
                errors.append(abs(findings[0].measured.value / 1e6 - drift))
        line(f"drift {drift:+.1%}", len(long_calls), len(errors), f"{max(errors, default=float('nan')):.3%}")
    lost = hits = 0
    for call in calls:
        for item in call.segments[1:-1:3]:
            lost += 1
            kinds = {finding.kind for finding in found(call, [label for label in call.segments if label is not item])}
            hits += kinds == {"speech_untranscribed"}
    line("segment removed", lost, hits)
    labels = sum(len(call.segments) + len(call.turns) for call in calls)
    line("clean", f"{labels} labels", dict(clean) or "no finding", f"{1000 * clean.total() / labels:.1f} per 1,000")


def measure_hour() -> None:
    call = made_call(1, seconds=300)
    copies = 12
    samples = np.tile(np.repeat(call.audio.samples, 2), copies)  # 16 kHz, so that an hour has its usual size
    length_s = len(samples) / copies / 16_000
    labels = [
        segment(f"{item.id}-{copy}", item.start_s + copy * length_s, item.end_s + copy * length_s, item.text)
        for copy in range(copies)
        for item in call.segments
    ]
    hour = Call(call.manifest, AudioData(samples, 16_000), tuple(labels))
    for name, variant in (
        ("clean", labels),
        ("shifted 1.5 s", moved(labels, 1.5)),
        ("drift 1 %", moved(labels, 0, 0.01)),
    ):
        started = time.perf_counter()
        findings = found(hour, variant)
        line(
            f"one hour, {name}",
            f"{time.perf_counter() - started:.1f} s",
            dict(Counter(finding.kind for finding in findings)),
            f"{len(labels)} segments",
        )


if __name__ == "__main__":
    measure("made-up, 40 dB", [made_call(seed, seconds=60 if seed % 2 else 150) for seed in SEEDS])
    measure("made-up, 10 dB", [made_call(seed, seconds=60 if seed % 2 else 150, snr_db=10) for seed in SEEDS])
    if (DATA / "pyannote_call").is_dir():
        measure("recorded call, 30 s", [real_call()])
    measure_hour()
