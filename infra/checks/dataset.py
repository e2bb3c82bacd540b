"""What only many samples together can show: exchanged samples, and parties that drift apart."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from infra.checks.batch import Batch, CheckedSample
from infra.checks.process import ReaderConfig
from infra.storage.asset_reader import open_asset_reader
from infra.storage.decode import read_facts
from services.alignment.definition_drift import definition_drift
from services.alignment.metadata_swaps import find_swaps
from services.alignment.sample import AssetFacts, CheckSample
from services.contracts.findings import Finding
from services.errors import AssetError
from services.rules.rule_set import RuleSet

_POINTERS = frozenset({"hash_mismatch", "outside_time_window", "outside_area", "device_mismatch", "wrong_sensor"})
"""Findings of a sample whose files may belong to another one; only these files are read once more."""


@dataclass(frozen=True, slots=True)
class DatasetFinding:
    """A finding about several samples.

    Attributes:
        finding: The finding.
        samples: Ids of the samples that it names; empty where it is about all.
    """

    finding: Finding
    samples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckedDataset:
    """Samples, and what they show together.

    Attributes:
        samples: Each without what a finding about several samples says already.
        findings: What is said about several samples.
    """

    samples: list[CheckedSample]
    findings: tuple[DatasetFinding, ...] = ()


def check_dataset(
    samples: Sequence[CheckedSample], batch: Batch, rules: RuleSet, *, drift: bool = True
) -> CheckedDataset:
    """Look at all samples of each project together.

    Args:
        samples: What the checks of each said.
        batch: Where they were found.
        rules: The rule set; what it disables is not looked for.
        drift: Whether to compare parties; left out by those who compare them themselves.
    """
    found: list[DatasetFinding] = []
    checked = list(samples)
    for places in _projects(samples):
        if len(places) > 1:
            found += _exchanged(checked, places, batch.config, rules)
            if drift:
                found += _drifted(checked, places, rules)
    return CheckedDataset(checked, tuple(sorted(found, key=lambda one: (one.finding.check, one.finding.finding_id))))


def _projects(samples: Sequence[CheckedSample]) -> Iterator[list[int]]:
    """Yield the places of the samples of each project; of samples with one id the first."""
    by_project: dict[str, dict[str, int]] = {}
    for place, sample in enumerate(samples):
        by_project.setdefault(sample.project, {}).setdefault(sample.sample_id, place)
    for places in by_project.values():
        yield list(places.values())


def _plain(checked: Sequence[CheckedSample], places: Sequence[int]) -> list[CheckSample]:
    return [CheckSample(checked[place].manifest, checked[place].annotations) for place in places]


def _exchanged(
    checked: list[CheckedSample], places: Sequence[int], config: ReaderConfig, rules: RuleSet
) -> Iterator[DatasetFinding]:
    if rules.metadata_source is not None and rules.metadata_source.enabled:
        plain = _plain(checked, places)
        suspects = [_has_pointer_finding(checked[place]) for place in places]
        facts = asyncio.run(
            _facts([one if suspect else None for one, suspect in zip(plain, suspects, strict=True)], config)
        )
        with_facts = [replace(one, asset_facts=known) for one, known in zip(plain, facts, strict=True)]
        ids = {sample.manifest.sample_id: place for sample, place in zip(plain, places, strict=True)}
        for swap in find_swaps(with_facts, rules):
            explained = set(swap.finding.explains)
            if any(signal.startswith("content of ") for signal in swap.signals):
                explained |= _hash_faults(checked[ids[name]] for name in swap.samples)
            finding = swap.finding.model_copy(update={"explains": tuple(sorted(explained))})
            yield DatasetFinding(finding, swap.samples)
            for name in swap.samples:
                checked[ids[name]] = _folded(checked[ids[name]], explained)


def _drifted(checked: list[CheckedSample], places: Sequence[int], rules: RuleSet) -> Iterator[DatasetFinding]:
    if rules.definition_drift is not None and rules.definition_drift.enabled:
        outcome = definition_drift(_plain(checked, places), rules)
        said = {finding.finding_id for finding in (*outcome.findings, *outcome.folded)}
        for place in places:
            checked[place] = _without(checked[place], said)
        yield from (DatasetFinding(finding) for finding in outcome.findings)


def _has_pointer_finding(sample: CheckedSample) -> bool:
    return any(one.check == "metadata_source" and one.kind in _POINTERS for one in sample.report.findings)


def _hash_faults(samples: Iterator[CheckedSample]) -> set[str]:
    return {
        finding.finding_id
        for sample in samples
        for finding in sample.report.findings
        if finding.check == "metadata_source" and finding.kind == "hash_mismatch"
    }


async def _facts(samples: Sequence[CheckSample | None], config: ReaderConfig) -> list[dict[str, AssetFacts]]:
    """Return what the files of the samples say of themselves, whatever their manifests expect of them."""
    reader = open_asset_reader(config.roots, config.hosts, config.max_bytes, config.timeout_s)
    result: list[dict[str, AssetFacts]] = []
    for sample in samples:
        facts: dict[str, AssetFacts] = {}
        for stream in sample.manifest.streams if sample is not None else ():
            if stream.uri is None:
                continue
            try:
                content = await reader.read(stream.uri, sha256=None)
            except AssetError:
                continue  # said already, by the checks of the sample itself
            facts[stream.id] = read_facts(stream, content.data, sha256=content.sha256)
        result.append(facts)
    return result


def _folded(sample: CheckedSample, explained: set[str]) -> CheckedSample:
    report = sample.report
    moved = tuple(finding for finding in report.findings if finding.finding_id in explained)
    kept = tuple(finding for finding in report.findings if finding.finding_id not in explained)
    return replace(sample, report=report.model_copy(update={"findings": kept, "folded": (*report.folded, *moved)}))


def _without(sample: CheckedSample, said: set[str]) -> CheckedSample:
    kept = tuple(one for one in sample.report.findings if one.finding_id not in said)
    if len(kept) == len(sample.report.findings):
        return sample
    return replace(sample, report=sample.report.model_copy(update={"findings": kept}))
