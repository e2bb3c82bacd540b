"""One scenario of the memory benchmark, in a process of its own: read, check, say how much memory that took at most.

Started as ``python -m infra.bench.checks.memory_child SCENARIO FOLDER``; prints one JSON object.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

_KIBIBYTE = 1024


def peak_bytes() -> int:
    """Return the largest resident set of this process so far, bytes.

    Linux keeps it as ``VmHWM``, which begins anew with the program; what ``getrusage`` says may still hold what the
    process that started this one had in memory.
    """
    try:
        return peak_of("self")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else _KIBIBYTE)


def peak_of(process: int | str) -> int:
    """Return the largest resident set of a process that runs, by its id, bytes.

    Raises:
        OSError: There is no such process, or the system does not tell.
    """
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * _KIBIBYTE
    raise OSError(f"/proc/{process}/status has no VmHWM")


def _check_manifest(folder: Path) -> tuple[int, int]:
    from infra.checks.batch import check_batch, find_batch  # noqa: PLC0415 - what is not used must not count
    from services.rules.rule_set import DEFAULT_RULE_SET  # noqa: PLC0415

    checked, failures = check_batch(find_batch([folder / "sample.json"], "bench"), DEFAULT_RULE_SET, jobs=1)
    if failures:
        raise failures[0][1]
    return len(checked[0].annotations), len(checked[0].report.findings)


def _check_tracks(folder: Path) -> tuple[int, int]:
    from infra.bench.checks.scenes import driving_manifest  # noqa: PLC0415
    from services.alignment.sample import CheckSample  # noqa: PLC0415
    from services.alignment.track_identity import check_track_identity  # noqa: PLC0415
    from services.formats.mot import read_mot  # noqa: PLC0415
    from services.rules.rule_set import DEFAULT_RULE_SET  # noqa: PLC0415

    labels = read_mot((folder / "tracks.txt").read_text(), stream="camera")
    outcome = check_track_identity(CheckSample(driving_manifest(), labels), DEFAULT_RULE_SET)
    return len(labels), len(outcome.findings)


def main(scenario: str, folder: Path) -> None:
    """Run a scenario on the input in ``folder`` and print what it took."""
    started = time.perf_counter()
    labels, findings = (_check_tracks if scenario == "tracks" else _check_manifest)(folder)
    taken = time.perf_counter() - started
    told = {"labels": labels, "findings": findings, "seconds": round(taken, 3), "peak_bytes": peak_bytes()}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
