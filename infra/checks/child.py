"""What a process of the check runner does: read, decode, check."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from infra.checks.plug_ins import installed_checks
from infra.checks.process import ReaderConfig
from infra.checks.region_reader import RegionTexts
from infra.semantic.sentence_encoder import installed_encoder
from infra.storage.asset_reader import BoundedAssetReader, open_asset_reader
from infra.storage.decode import MAX_FILE_BYTES, MAX_TEXT_BYTES, decode_stream, decode_text, read_facts
from infra.words.pocketsphinx_aligner import installed_aligner
from services.alignment.engine import run_checks
from services.alignment.sample import AssetFacts, AudioData, CheckSample
from services.contracts.annotations import Annotations
from services.contracts.consensus import Consensus
from services.contracts.findings import CheckReport, Finding, NotApplicable, finding_id
from services.contracts.manifest import SampleManifest, Stream
from services.errors import AssetError, AssetHashMismatchError, AssetMissingError, UnavailableError
from services.rules.rule_set import RuleSet

SOURCE_CHECK = "metadata_source"
_KINDS = {
    ".pdf": "application/pdf",
    ".doc": "application/msword",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".zip": "application/zip",
    ".gz": "application/gzip",
}
_ANNOTATIONS: TypeAdapter[Annotations] = TypeAdapter(Annotations)


def check_sample(
    config: ReaderConfig,
    manifest_json: bytes,
    annotations_json: bytes,
    rules_json: bytes,
    consensus_json: bytes | None = None,
) -> bytes:
    """Run all checks over one sample and return the report as JSON.

    Args:
        config: How to read assets.
        manifest_json: A :class:`SampleManifest`.
        annotations_json: The labels to check, a list.
        rules_json: A :class:`RuleSet`.
        consensus_json: A :class:`Consensus`, where the labels were joined of several answers.
    """
    manifest = SampleManifest.model_validate_json(manifest_json)
    rules = RuleSet.model_validate_json(rules_json)
    annotations = _ANNOTATIONS.validate_json(annotations_json)
    reader = open_asset_reader(config.roots, config.hosts, config.max_bytes, config.timeout_s)
    texts = RegionTexts(manifest, annotations, rules)
    sample, faults, unread = asyncio.run(read_sample(manifest, annotations, reader, rules, texts.look))
    if consensus_json is not None:
        sample = replace(sample, consensus=Consensus.model_validate_json(consensus_json))
    sample = with_models(texts.given_to(sample), rules)
    report = run_checks(sample, rules, installed_checks())
    whole = CheckReport(
        rule=report.rule,
        findings=(*faults, *report.findings),
        folded=report.folded,
        not_applicable=(*unread, *report.not_applicable),
    )
    return whole.model_dump_json(exclude_none=True).encode()


async def read_sample(
    manifest: SampleManifest,
    annotations: Annotations,
    reader: BoundedAssetReader,
    rules: RuleSet,
    look: Callable[[str, bytes], None] = lambda _stream, _content: None,
) -> tuple[CheckSample, list[Finding], list[NotApplicable]]:
    """Return the sample with its decoded assets, a finding for each that can not be read, and what is not read.

    Args:
        manifest: The sample.
        annotations: Its labels.
        reader: Reads the assets.
        rules: The rule set, which findings name.
        look: Is shown the stream and the file of every image.
    """
    audio: dict[str, AudioData] = {}
    clouds_m: dict[str, NDArray[np.float32]] = {}
    sizes_px: dict[str, tuple[int, int]] = {}
    texts: dict[str, str] = {}
    facts: dict[str, AssetFacts] = {}
    faults: list[Finding] = []
    unread: list[NotApplicable] = []
    for stream in manifest.streams:
        if stream.uri is None:
            continue
        try:
            most = MAX_FILE_BYTES.get(stream.modality)
            if most is None:  # nothing is decoded, so that its hash is all that is used
                facts[stream.id] = AssetFacts(sha256=await reader.digest(stream.uri, sha256=stream.sha256))
                continue
            content = await reader.read(stream.uri, sha256=stream.sha256, max_bytes=most)
            decoded = decode_stream(stream, content.data)
            why = _why_not_read(stream, len(content.data))
            if why is not None:
                unread.append(NotApplicable(check=SOURCE_CHECK, reason=why, streams=(stream.id,)))
            elif stream.modality == "text":
                texts[stream.id] = decode_text(content.data, name=stream.id)
        except AssetError as error:
            faults.append(_fault(f"stream {stream.id}", stream.id, error, rules, place=""))
            continue
        facts[stream.id] = read_facts(stream, content.data, sha256=content.sha256)
        if isinstance(decoded, AudioData):
            audio[stream.id] = decoded
        elif isinstance(decoded, tuple):
            sizes_px[stream.id] = decoded
            look(stream.id, content.data)
        elif decoded is not None:
            clouds_m[stream.id] = decoded
    for file in manifest.label_files:
        try:
            await reader.check(file.uri, sha256=file.sha256)
        except AssetError as error:
            faults.append(_fault(f"label file of stream {file.stream}", file.stream, error, rules, place=file.uri))
    sample = CheckSample(
        manifest=manifest,
        annotations=annotations,
        audio=audio,
        clouds_m=clouds_m,
        image_sizes_px=sizes_px,
        texts=texts,
        asset_facts=facts,
    )
    return sample, faults, unread


def _why_not_read(stream: Stream, size_bytes: int) -> str | None:
    """Return why a text stream's asset is not read as text, by its kind or length; None where it is, or is no text."""
    if stream.modality != "text":
        return None
    kind = stream.media_type or _KINDS.get(PurePosixPath((stream.uri or "").split("?")[0]).suffix.lower(), "text/plain")
    if not (kind.startswith("text/") or kind.endswith(("json", "xml"))):
        return f"the text of stream {stream.id} is {kind}; plain text is read"
    if size_bytes > MAX_TEXT_BYTES:
        return f"the text of stream {stream.id} has {size_bytes} bytes; at most {MAX_TEXT_BYTES} are read"
    return None


def with_models(sample: CheckSample, rules: RuleSet) -> CheckSample:
    """Return the sample with the optional models that the rule set asks for, or with why they are not there."""
    return _with_aligner(_with_encoder(sample, rules), rules)


def _with_encoder(sample: CheckSample, rules: RuleSet) -> CheckSample:
    asking = (rules.text_visual, rules.taxonomy_conformance)
    if not any(section is not None and section.enabled and section.meaning is not None for section in asking):
        return sample
    try:
        return replace(sample, text_encoder=installed_encoder())
    except UnavailableError as error:
        return replace(sample, unavailable={**sample.unavailable, "text_encoder": error.detail})


def _with_aligner(sample: CheckSample, rules: RuleSet) -> CheckSample:
    section = rules.audio_transcript
    if not section.enabled or section.words is None:
        return sample
    try:
        return replace(sample, word_aligner=installed_aligner())
    except UnavailableError as error:
        return replace(sample, unavailable={**sample.unavailable, "word_aligner": error.detail})


def _fault(what: str, stream_id: str, error: AssetError, rules: RuleSet, *, place: str) -> Finding:
    kind = _kind_of(error)
    return Finding(
        finding_id=finding_id(SOURCE_CHECK, kind, rules.id, streams=(stream_id,), place=place),
        check=SOURCE_CHECK,
        kind=kind,
        severity="critical",
        message=f"The {what} could not be read: {error.detail}"[:2_000],
        streams=(stream_id,),
        rule=rules.reference,
    )


def _kind_of(error: AssetError) -> str:
    if isinstance(error, AssetMissingError):
        return "asset_missing"
    return "hash_mismatch" if isinstance(error, AssetHashMismatchError) else "asset_unreadable"
