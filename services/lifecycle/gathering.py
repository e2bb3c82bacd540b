"""Read what a sample brings and ask the models about it. Nothing here stops a sample: what fails is noted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from services.contracts.annotations import Annotation
from services.contracts.labels_language import Relation
from services.contracts.manifest import LabelFile, SampleManifest, check_annotations
from services.contracts.pre_label import PreLabelSource
from services.contracts.records import AssetRecord
from services.errors import AssetError, ConcordError, InvalidInputError, UnavailableError
from services.formats.label_file import import_label_file
from services.formats.result import FileLosses
from services.ports.assets import AssetReader
from services.ports.pre_label import PreLabeler, PreLabelRequest

PreLabelersFor = Callable[[tuple[PreLabelSource, ...]], Sequence[PreLabeler]]
"""Makes the pre-labelers that a project's sources name, in their order."""

_READS_AT_ONCE = 2  # whole assets in memory
# On top of a source's own budget, for one that does not keep it.
_GRACE_S = 15.0
_DEFAULT_BUDGET_S = 60.0
_REASON_LENGTH = 500
_ID_STEM = 180
"""So many characters of an id are kept where a number is put behind it; an id has 200 at most."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that could not be read, or a model that gave no usable answer.

    Attributes:
        action: How the audit trail names it.
        name: The asset's stream, the label file's address or the model's name.
        code: The error's stable code.
        reason: A sentence for people.
    """

    action: str
    name: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """What one model said."""

    model: str
    version: str
    annotations: tuple[Annotation, ...]


@dataclass(frozen=True, slots=True)
class Gathered:
    """Everything that was read and predicted.

    Attributes:
        assets: Assets as read; those that could not be read are missing.
        labels: Labels of the manifest's label files of role ``annotation``, in their order.
        predictions: One a model that answered.
        failures: What went wrong.
        losses: What label files of role ``annotation`` held that is no label of the contract, by their addresses.
    """

    assets: tuple[AssetRecord, ...]
    labels: tuple[Annotation, ...]
    predictions: tuple[Prediction, ...]
    failures: tuple[Failure, ...]
    losses: tuple[FileLosses, ...] = ()


async def gather_sample(
    manifest: SampleManifest,
    assets: AssetReader,
    sources: tuple[PreLabelSource, ...],
    pre_labelers_for: PreLabelersFor,
) -> Gathered:
    """Read and hash the assets, read the label files, and ask all models at once, each within its time.

    Raises:
        UnavailableError: The store of the assets does not answer; nothing is known, try again.
    """
    records, asset_failures = await _read_streams(manifest, assets)
    files = await _read_label_files(manifest, assets)
    predictions, model_failures = await _predict(manifest, assets, sources, pre_labelers_for)
    return Gathered(
        assets=(*records, *files.records.values()),
        labels=tuple(files.labels.values()),
        predictions=predictions,
        failures=(*asset_failures, *files.failures, *model_failures),
        losses=tuple(files.losses),
    )


async def _read_streams(manifest: SampleManifest, assets: AssetReader) -> tuple[list[AssetRecord], list[Failure]]:
    slots = asyncio.Semaphore(_READS_AT_ONCE)

    async def read(stream_id: str, uri: str, sha256: str | None) -> AssetRecord | Failure:
        async with slots:
            try:
                content = await assets.read(uri, sha256=sha256)
            except AssetError as error:
                return _failure("asset.unreadable", stream_id, error)
            return AssetRecord(stream=stream_id, uri=uri, sha256=content.sha256, size_bytes=content.size_bytes)

    results = await asyncio.gather(
        *(read(stream.id, stream.uri, stream.sha256) for stream in manifest.streams if stream.uri is not None)
    )
    return (
        [result for result in results if isinstance(result, AssetRecord)],
        [result for result in results if isinstance(result, Failure)],
    )


@dataclass(slots=True)
class _LabelFiles:
    records: dict[tuple[str, str], AssetRecord] = field(default_factory=dict)
    labels: dict[str, Annotation] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    losses: list[FileLosses] = field(default_factory=list)


async def _read_label_files(manifest: SampleManifest, assets: AssetReader) -> _LabelFiles:
    files = _LabelFiles()
    for file in manifest.label_files:
        try:
            content = await assets.read(file.uri, sha256=file.sha256)
            files.records[file.stream, file.uri] = AssetRecord(
                stream=file.stream,
                uri=file.uri,
                sha256=content.sha256,
                size_bytes=content.size_bytes,
                role="label_file",
            )
            if file.role == "annotation":
                read = await asyncio.to_thread(import_label_file, file, manifest, content.data)
                labels = _told_apart(read.annotations, files.labels, manifest)
                _ensure_usable((*files.labels.values(), *labels), manifest)
                files.labels.update((annotation.id, annotation) for annotation in labels)
                if read.dropped:
                    files.losses.append(FileLosses(file.uri, read.dropped))
        except UnavailableError:
            raise
        except ConcordError as error:
            files.failures.append(_failure("label_file.unreadable", file.uri, error))
    return files


def _told_apart(
    labels: tuple[Annotation, ...], earlier: Mapping[str, Annotation], manifest: SampleManifest
) -> tuple[Annotation, ...]:
    """Return a file's labels under ids that no earlier file has given, without those that are the same altogether.

    Readers number labels within their file, so that the files of two jobs or two cameras have ids in common.
    """
    new = [label for label in labels if earlier.get(label.id) != label]
    if earlier.keys().isdisjoint(label.id for label in new):
        return tuple(new)
    taken = {*earlier, *(label.id for label in (*labels, *manifest.annotations))}
    names: dict[str, str] = {}
    for label in new:
        if label.id in earlier:
            free = (f"{label.id[:_ID_STEM]}-{number}" for number in count(2))
            names[label.id] = next(name for name in free if name not in taken)
            taken.add(names[label.id])
    return tuple(_renamed(label, names) for label in new)


def _renamed(label: Annotation, names: Mapping[str, str]) -> Annotation:
    changes = {"id": names.get(label.id, label.id)}
    if isinstance(label, Relation):
        changes |= {"from_id": names.get(label.from_id, label.from_id), "to_id": names.get(label.to_id, label.to_id)}
    return label.model_copy(update=changes)


async def _predict(
    manifest: SampleManifest,
    assets: AssetReader,
    sources: tuple[PreLabelSource, ...],
    pre_labelers_for: PreLabelersFor,
) -> tuple[tuple[Prediction, ...], list[Failure]]:
    async def read(stream_id: str) -> bytes:
        stream = manifest.stream(stream_id)
        if stream.uri is None:
            raise AssetError(f"the stream {stream_id!r} has no asset")
        return (await assets.read(stream.uri, sha256=stream.sha256)).data

    async def read_file(file: LabelFile) -> bytes:
        return (await assets.read(file.uri, sha256=file.sha256)).data

    request = PreLabelRequest(manifest=manifest, read=read, read_label_file=read_file)

    async def ask(source: PreLabelSource) -> Prediction | Failure:
        budget_s = getattr(source, "budget_s", _DEFAULT_BUDGET_S)
        try:
            (model,) = pre_labelers_for((source,))
            async with model.turn, asyncio.timeout(budget_s + _GRACE_S):
                predicted = await model.predict(request)
            _ensure_usable(predicted, manifest)
        except ConcordError as error:
            return _failure("pre_label.failed", source.name, error)
        except TimeoutError:
            return Failure("pre_label.failed", source.name, "pre-label-timeout", f"no answer within {budget_s:g} s")
        except Exception as error:  # whatever a model does, the sample goes on to people
            return Failure("pre_label.failed", source.name, "pre-label-defect", type(error).__name__)
        return Prediction(model=model.name, version=model.version, annotations=predicted)

    results = await asyncio.gather(*(ask(source) for source in sources))
    return (
        tuple(result for result in results if isinstance(result, Prediction)),
        [result for result in results if isinstance(result, Failure)],
    )


def _ensure_usable(annotations: tuple[Annotation, ...], manifest: SampleManifest) -> None:
    try:
        streams = frozenset(stream.id for stream in manifest.streams)
        check_annotations(annotations, streams, beside=[annotation.id for annotation in manifest.annotations])
    except ValueError as error:
        raise InvalidInputError(str(error)) from error


def _failure(action: str, name: str, error: ConcordError) -> Failure:
    return Failure(action, name, error.code, error.detail[:_REASON_LENGTH])
