"""Export a large version three times in each format: at once, again, and killed in the middle and gone on with.

The API and the exports are processes of their own, as in daily use; their largest resident sets are read from the
system. All bytes of the three folders are compared.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from pathlib import Path

from infra.bench.checks.memory_child import peak_of
from infra.bench.export.fill import LABELS_A_SAMPLE, PROJECT, fill
from infra.client import ConcordClient
from infra.dataset_calls import DatasetCalls
from infra.datasets.log import LOG_NAME
from infra.local import LocalConcord, LocalConfig, run_local
from services.contracts.base import Contract
from services.contracts.datasets import NewDataset, NewVersion, SplitPolicy
from services.errors import UnavailableError

NAME = "frames"
_ROOT = Path(__file__).resolve().parents[3]
_CHUNK = 1024 * 1024
_LOOK_EVERY_S = 0.02
_BY_SEQUENCE = SplitPolicy.model_validate({"group_by": ["context.attributes.sequence"]})
Told = Callable[[str], None]


class FormatTime(Contract):
    """One format.

    Attributes:
        form: Its name.
        seconds: Of each whole run of the command: the first and the second.
        resumed_s: Of the command that went on behind the kill.
        parts: Parts of the export.
        taken_up: Parts that were finished when the command was killed.
        size_bytes: Of all files.
        peak_bytes: The largest resident set of the exporting process, over all runs that ended.
        second_same: Whether the second export is the first, byte for byte.
        resumed_same: Whether the one that was killed and gone on with is, too.
    """

    form: str
    seconds: tuple[float, float]
    resumed_s: float
    parts: int
    taken_up: int
    size_bytes: int
    peak_bytes: int
    second_same: bool
    resumed_same: bool


class ExportSize(Contract):
    """One number of records.

    Attributes:
        records: How many.
        labels: How many labels these have.
        version_s: Time to make the version.
        percents: How often its progress was told.
        formats: The formats.
        api_peak_bytes: The largest resident set of the API, making the version and all exports included.
    """

    records: int
    labels: int
    version_s: float
    percents: int
    formats: tuple[FormatTime, ...]
    api_peak_bytes: int


class ExportBenchmark(Contract):
    """What was measured, by number of records, ascending.

    Attributes:
        growth_limit: By how much a peak may grow from the smallest number of records to the largest.
    """

    sizes: tuple[ExportSize, ...]
    growth_limit: float

    @property
    def holds(self) -> bool:
        """Whether all bytes are the same, and memory does not grow with the dataset."""
        same = all(one.second_same and one.resumed_same for size in self.sizes for one in size.formats)
        first, last = self.sizes[0], self.sizes[-1]
        peaks = [(first.api_peak_bytes, last.api_peak_bytes)]
        peaks += [(one.peak_bytes, two.peak_bytes) for one, two in zip(first.formats, last.formats, strict=True)]
        return same and all(large <= self.growth_limit * small for small, large in peaks)


async def measure_exports(
    folder: Path, sizes: Sequence[int], forms: Sequence[str], *, part_samples: int, growth_limit: float, tell: Told
) -> ExportBenchmark:
    """Run the benchmark with an embedded stack for each number of records.

    Args:
        folder: For the servers' data and the exports; what is exported is removed again.
        sizes: Numbers of records.
        forms: Formats.
        part_samples: Samples a part.
        growth_limit: By how much a peak may grow.
        tell: Is told what happens.
    """
    measured = []
    for records in sorted(sizes):
        config = LocalConfig(data_dir=folder / f"data-{records}", durable=False, processes=("api",))
        measured.append(await measure_size(config, folder, records, forms, part_samples=part_samples, tell=tell))
    return ExportBenchmark(sizes=tuple(measured), growth_limit=growth_limit)


async def measure_size(
    config: LocalConfig, folder: Path, records: int, forms: Sequence[str], *, part_samples: int, tell: Told
) -> ExportSize:
    """Fill a store, make a version, export it; see :func:`measure_exports`."""
    async with run_local(config) as concord:
        await fill(concord.urls.database_url, records, tell)
        heard = 0

        def count(_: object) -> None:
            nonlocal heard
            heard += 1

        async with ConcordClient(concord.urls.api_url, concord.admin_key) as client:
            calls = DatasetCalls(client, PROJECT)
            await calls.create(NewDataset(name=NAME, split=_BY_SEQUENCE))
            began = time.monotonic()
            version = await calls.make_version(NAME, NewVersion(card_samples=0), tell=count)
            version_s = time.monotonic() - began
        tell(f"version of {version.content.samples:,} samples made in {version_s:.1f} s")
        made = []
        for form in forms:
            made.append(await _measure_format(concord, folder / f"exports-{records}", form, part_samples, records))
            tell(f"{records:,} records as {form}: {made[-1].seconds[0]:.1f} s, {made[-1].size_bytes:,} bytes")
        return ExportSize(
            records=records,
            labels=records * LABELS_A_SAMPLE,
            version_s=round(version_s, 2),
            percents=heard,
            formats=tuple(made),
            api_peak_bytes=peak_of(concord.stack.pid("api")),
        )


async def _measure_format(
    concord: LocalConcord, folder: Path, form: str, part_samples: int, records: int
) -> FormatTime:
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    runs: list[tuple[float, int]] = []
    trees: list[str] = []
    size = parts = taken_up = 0
    for name in ("first", "second", "resumed"):
        out = folder / name
        if name == "resumed":
            taken_up = await _killed(concord, out, form, part_samples, parts // 2)
        runs.append(await _whole(concord, out, form, part_samples))
        parts = _finished_parts(out)
        digest, size = await asyncio.to_thread(tree_digest, out)
        trees.append(digest)
        # Of a hundred thousand samples three folders at once are a lot.
        await asyncio.to_thread(shutil.rmtree, out)
    return FormatTime(
        form=form,
        seconds=(round(runs[0][0], 2), round(runs[1][0], 2)),
        resumed_s=round(runs[2][0], 2),
        parts=parts,
        taken_up=taken_up,
        size_bytes=size,
        peak_bytes=max(peak for _, peak in runs),
        second_same=trees[1] == trees[0],
        resumed_same=trees[2] == trees[0],
    )


async def _whole(concord: LocalConcord, out: Path, form: str, part_samples: int) -> tuple[float, int]:
    """Run the command to its end; return seconds, its start included, and the largest resident set."""
    result = out.with_suffix(".peak")
    began = time.monotonic()
    child = await _started(concord, result, out, form, part_samples)
    _, errors = await child.communicate()
    seconds = time.monotonic() - began
    if child.returncode:
        raise UnavailableError(f"the export ended with {child.returncode}: {errors.decode()[-2_000:]}")
    return seconds, int(result.read_text())


async def _killed(concord: LocalConcord, out: Path, form: str, part_samples: int, after_parts: int) -> int:
    """Start the command and kill it once so many parts are finished; return how many are."""
    child = await _started(concord, out.with_suffix(".peak"), out, form, part_samples)
    while child.returncode is None and _finished_parts(out) < after_parts:  # noqa: ASYNC110 - its log is a file
        await asyncio.sleep(_LOOK_EVERY_S)
    if child.returncode is not None:
        raise UnavailableError("the export had ended before it was to be killed; make parts smaller")
    child.send_signal(signal.SIGKILL)
    await child.communicate()
    return _finished_parts(out)


async def _started(concord: LocalConcord, result: Path, out: Path, form: str, part_samples: int) -> Process:
    words = ("-m", "infra.bench.export.child", str(result), PROJECT, f"{NAME}@1", "--format", form)
    options = ("--part-samples", str(part_samples), "-o", str(out), "--json")
    own = {"CONCORD_URL": concord.urls.api_url, "CONCORD_KEY": concord.admin_key, "PYTHONPATH": str(_ROOT)}
    return await asyncio.create_subprocess_exec(
        sys.executable, *words, *options, env=dict(os.environ) | own, stdout=PIPE, stderr=PIPE
    )


def _finished_parts(out: Path) -> int:
    try:
        # The first line says what is exported; a last line that is not whole is no part.
        return max(0, (out / LOG_NAME).read_bytes().count(b"\n") - 1)
    except FileNotFoundError:
        return 0


def tree_digest(folder: Path) -> tuple[str, int]:
    """Return a hash over the names and bytes of all files below a folder, and how many bytes these are."""
    digest, size = hashlib.sha256(), 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                content.update(chunk)
                size += len(chunk)
        digest.update(f"{path.relative_to(folder)}\0{content.hexdigest()}\n".encode())
    return digest.hexdigest(), size
