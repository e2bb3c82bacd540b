"""Many samples on disk through the checks, several at once, in an order that does not depend on who is ready first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from infra.checks.child import check_sample
from infra.checks.process import ReaderConfig
from infra.checks.runner import ProcessCheckRunner
from infra.storage.assets import FileAssetReader
from infra.storage.found import BadFile, FoundSample
from infra.storage.label_documents import MAX_LABEL_BYTES
from infra.storage.manifest_files import asset_root, find_samples
from services.contracts.annotations import Annotation, Annotations
from services.contracts.consensus import Consensus
from services.contracts.findings import CheckReport
from services.contracts.manifest import SampleManifest
from services.errors import ConcordError, InvalidInputError
from services.formats.result import FileLosses
from services.lifecycle.gathering import gather_sample
from services.ports.checks import CheckRunner
from services.rules.rule_set import RuleSet

ASSET_MAX_BYTES = 2 * 1024**3
ASSET_TIMEOUT_S = 120.0
CHECK_TIMEOUT_S = 600.0
_ANNOTATIONS: TypeAdapter[Annotations] = TypeAdapter(Annotations)

Advance = Callable[[], None]
Failure = tuple[Path, ConcordError]


@dataclass(frozen=True, slots=True)
class CheckedSample:
    """A sample with what the checks said about it.

    Attributes:
        found: The sample as it is on disk.
        annotations: The labels that were checked: the manifest's, and those of its label files.
        report: What the checks said.
        losses: What label files held that could not be taken over, by file.
    """

    found: FoundSample
    annotations: tuple[Annotation, ...]
    report: CheckReport
    losses: tuple[FileLosses, ...] = ()

    @property
    def path(self) -> Path:
        """The file or folder the sample was found in."""
        return self.found.path

    @property
    def manifest(self) -> SampleManifest:
        """The manifest, with absolute addresses."""
        return self.found.manifest

    @property
    def project(self) -> str:
        """The sample's project."""
        return self.manifest.project

    @property
    def sample_id(self) -> str:
        """The sample's id."""
        return self.manifest.sample_id


@dataclass(slots=True)
class Batch:
    """Samples on disk, and what could not be read.

    Attributes:
        found: In the order they were found.
        errors: Files that hold no readable sample, with why.
        roots: Folders that assets may be read from.
    """

    found: list[FoundSample] = field(default_factory=list)
    errors: list[Failure] = field(default_factory=list)
    roots: tuple[Path, ...] = ()

    @property
    def config(self) -> ReaderConfig:
        """How the assets of these samples are read."""
        return ReaderConfig(roots=self.roots, max_bytes=ASSET_MAX_BYTES, timeout_s=ASSET_TIMEOUT_S)


def find_batch(
    paths: Sequence[Path], project: str, *, assets: Iterable[Path] = (), advance: Advance = lambda: None
) -> Batch:
    """Return every sample behind ``paths``, in a stable order.

    Args:
        paths: Manifests and folders.
        project: The project of samples whose format names none.
        assets: Further folders that assets may be read from.
        advance: Called once for each sample.

    Raises:
        AssetMissingError: There is nothing at a path.
        InvalidInputError: There is no sample behind it.
    """
    assets = tuple(assets)
    roots = dict.fromkeys([*(asset_root(path).resolve() for path in paths), *(folder.resolve() for folder in assets)])
    batch = Batch(roots=tuple(roots))
    for item in find_samples(*paths, project=project, assets=assets):
        advance()
        if isinstance(item, BadFile):
            batch.errors.append((item.path, item.error))
        else:
            batch.found.append(item)
    return batch


def check_batch(
    batch: Batch, rules: RuleSet, *, jobs: int, advance: Advance = lambda: None
) -> tuple[list[CheckedSample], list[Failure]]:
    """Check every sample of a batch.

    Args:
        batch: The samples.
        rules: The rule set.
        jobs: How many samples are checked at once, each in a process of its own; 1 takes this process.
        advance: Called when a sample is done.

    Returns:
        The checked samples and the failures of others, both in the order of the batch.
    """
    if not batch.found:
        return [], []
    return asyncio.run(_check_all(batch, rules, min(jobs, len(batch.found)), advance))


class _ChecksHere:
    """The checks in a thread of this process: for one at a time, starting another process costs more than it saves."""

    def __init__(self, config: ReaderConfig) -> None:
        self._config = config

    async def run(
        self,
        manifest: SampleManifest,
        annotations: tuple[Annotation, ...],
        rules: RuleSet,
        consensus: Consensus | None = None,
    ) -> CheckReport:
        """Return the report of one sample."""
        documents = (
            manifest.model_dump_json(exclude_none=True).encode(),
            _ANNOTATIONS.dump_json(annotations, exclude_none=True),
            rules.model_dump_json(exclude_none=True).encode(),
            None if consensus is None else consensus.model_dump_json(exclude_none=True).encode(),
        )
        return CheckReport.model_validate_json(await asyncio.to_thread(check_sample, self._config, *documents))


async def _check_all(
    batch: Batch, rules: RuleSet, jobs: int, advance: Advance
) -> tuple[list[CheckedSample], list[Failure]]:
    slots = asyncio.Semaphore(jobs)
    assets = FileAssetReader(batch.roots, MAX_LABEL_BYTES, ASSET_TIMEOUT_S)
    checked: dict[int, CheckedSample] = {}
    failed: dict[int, ConcordError] = {}

    async def check_one(runner: CheckRunner, number: int, item: FoundSample) -> None:
        async with slots:
            try:
                labels, losses = await read_labels(item.manifest, assets)
                report = await runner.run(item.manifest, labels, rules)
            except ConcordError as error:
                failed[number] = error
            else:
                checked[number] = CheckedSample(item, labels, report, (*item.losses, *losses))
            advance()

    async with AsyncExitStack() as stack:
        runner: CheckRunner = _ChecksHere(batch.config)
        if jobs > 1:
            runner = await stack.enter_async_context(ProcessCheckRunner(batch.config, jobs, CHECK_TIMEOUT_S))
        async with asyncio.TaskGroup() as group:
            for number, item in enumerate(batch.found):
                group.create_task(check_one(runner, number, item))
    return (
        [checked[number] for number in sorted(checked)],
        [(batch.found[number].path, failed[number]) for number in sorted(failed)],
    )


async def labels_of_batch(
    batch: Batch, advance: Advance = lambda: None
) -> tuple[list[tuple[FoundSample, tuple[Annotation, ...]]], list[Failure]]:
    """Return the labels of every sample of a batch, and what could not be read; nothing is checked."""
    assets = FileAssetReader(batch.roots, MAX_LABEL_BYTES, ASSET_TIMEOUT_S)
    found: list[tuple[FoundSample, tuple[Annotation, ...]]] = []
    failed: list[Failure] = []
    for item in batch.found:
        try:
            labels, _ = await read_labels(item.manifest, assets)
        except ConcordError as error:
            failed.append((item.path, error))
        else:
            found.append((item, labels))
        advance()
    return found, failed


async def read_labels(
    manifest: SampleManifest, assets: FileAssetReader
) -> tuple[tuple[Annotation, ...], tuple[FileLosses, ...]]:
    """Return the manifest's labels and those of its label files, and what these files held beside them.

    Raises:
        InvalidInputError: A label file can not be read.
    """
    labelled = [file for file in manifest.label_files if file.role == "annotation"]
    if not labelled:
        return manifest.annotations, ()
    only_labels = manifest.model_copy(update={"label_files": tuple(labelled), "streams": _without_assets(manifest)})
    gathered = await gather_sample(only_labels, assets, (), lambda _: ())
    if gathered.failures:
        failure = gathered.failures[0]
        raise InvalidInputError(f"label file {failure.name}: {failure.reason}")
    known = {annotation.id for annotation in manifest.annotations}
    labels = (*manifest.annotations, *(label for label in gathered.labels if label.id not in known))
    return labels, gathered.losses


def _without_assets(manifest: SampleManifest) -> Sequence[object]:
    """Return the streams without what is behind them: label files need their names only."""
    return tuple(stream.model_copy(update={"uri": None}) for stream in manifest.streams)
