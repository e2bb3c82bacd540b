"""Apply what findings suggest, check again, and keep only what made the labels agree better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from pydantic import ValidationError

from infra.checks.batch import Batch, CheckedSample, Failure
from infra.storage.found import FoundSample
from services.alignment.suggestions import apply_suggestion, changed_labels
from services.contracts.annotations import Annotation
from services.contracts.findings import SEVERITY_ORDER, CheckReport, Finding
from services.contracts.manifest import SampleManifest

MAX_ROUNDS = 5

Recheck = Callable[[Batch], tuple[list[CheckedSample], list[Failure]]]
"""Checks a batch again, under the same rules."""


@dataclass(slots=True)
class FixedSample:
    """A sample with its corrections.

    Attributes:
        before: The sample as it was found.
        manifest: The corrected manifest; it holds every label, so that no label file is left to bring an old one back.
        report: What the checks say about it.
        applied: Findings whose suggestion was applied, in that order.
        unsolved: Of these, the ones that are still found.
        refused: Findings whose suggestion was not applied, with the reason.
    """

    before: CheckedSample
    manifest: SampleManifest
    report: CheckReport
    applied: list[Finding] = field(default_factory=list)
    unsolved: list[Finding] = field(default_factory=list)
    refused: list[tuple[Finding, str]] = field(default_factory=list)

    @property
    def changed(self) -> tuple[str, ...]:
        """Ids of the labels that were changed, added or removed, sorted."""
        return changed_labels(self.before.annotations, self.manifest.annotations)

    @property
    def checked(self) -> CheckedSample:
        """The corrected sample as the checks saw it."""
        found = replace(self.before.found, manifest=self.manifest)
        return CheckedSample(found, self.manifest.annotations, self.report, self.before.losses)


@dataclass(slots=True)
class _Trial:
    sample: FixedSample
    manifest: SampleManifest
    findings: list[Finding]


def fix_samples(samples: Sequence[CheckedSample], batch: Batch, recheck: Recheck) -> list[FixedSample]:
    """Return every sample with the suggestions of its findings applied, in the same order.

    In each round the suggestions that concern different labels are applied together, the gravest first, and the
    sample is checked again. If it then disagrees more than before, the round is taken back and its suggestions are
    tried one by one. A suggestion is tried once.

    Args:
        samples: Checked samples; none of them is changed.
        batch: Where their assets are.
        recheck: Checks again.
    """
    fixed = [FixedSample(before=sample, manifest=_whole(sample), report=sample.report) for sample in samples]
    tried: list[set[str]] = [set() for _ in fixed]
    one_by_one: set[int] = set()
    for _ in range(MAX_ROUNDS):
        trials: dict[int, _Trial] = {}
        for number, sample in enumerate(fixed):
            trial = _trial(sample, tried[number], alone=number in one_by_one)
            if trial is not None:
                trials[number] = trial
        if not trials:
            break
        one_by_one |= _judge(trials, tried, batch, recheck)
    for sample in fixed:
        found = {finding.finding_id for finding in sample.report.findings}
        sample.unsolved = [finding for finding in sample.applied if finding.finding_id in found]
    return fixed


def _judge(trials: dict[int, _Trial], tried: list[set[str]], batch: Batch, recheck: Recheck) -> set[int]:
    """Keep the trials that helped; return the samples whose suggestions are to be tried one by one."""
    order = sorted(trials)
    found = [FoundSample(trials[number].manifest, trials[number].sample.before.path) for number in order]
    checked, failures = recheck(Batch(found=found, roots=batch.roots))
    if failures:
        raise failures[0][1]
    apart: set[int] = set()
    for number, result in zip(order, checked, strict=True):
        trial = trials[number]
        if _weight(result.report) <= _weight(trial.sample.report):
            trial.sample.manifest, trial.sample.report = trial.manifest, result.report
            trial.sample.applied += trial.findings
            tried[number] |= {finding.finding_id for finding in trial.findings}
        elif len(trial.findings) > 1:
            apart.add(number)
        else:
            (finding,) = trial.findings
            trial.sample.refused.append((finding, "with it the labels disagree more than before"))
            tried[number].add(finding.finding_id)
    return apart


def _trial(sample: FixedSample, tried: set[str], *, alone: bool) -> _Trial | None:
    labels: tuple[Annotation, ...] = sample.manifest.annotations
    taken: set[str] = set()
    applied: list[Finding] = []
    for finding in sample.report.findings:
        if finding.suggestion is None or finding.finding_id in tried or (alone and applied):
            continue
        after = apply_suggestion(labels, finding.suggestion)
        changed = set(changed_labels(labels, after))
        if not changed:
            tried.add(finding.finding_id)
            sample.refused.append((finding, "it changes no label"))
        elif not changed & taken:
            try:
                _with_labels(sample.manifest, after)
            except ValidationError as error:
                tried.add(finding.finding_id)
                sample.refused.append((finding, f"its labels do not fit the sample: {error.errors()[0]['msg']}"))
                continue
            labels = after
            taken |= changed
            applied.append(finding)
    return _Trial(sample, _with_labels(sample.manifest, labels), applied) if applied else None


def _whole(sample: CheckedSample) -> SampleManifest:
    """Return the manifest with the labels of its label files in it, and without those files."""
    kept = tuple(file for file in sample.manifest.label_files if file.role != "annotation")
    return sample.manifest.model_copy(update={"annotations": sample.annotations, "label_files": kept})


def _with_labels(manifest: SampleManifest, labels: tuple[Annotation, ...]) -> SampleManifest:
    changed = manifest.model_copy(update={"annotations": labels})
    return SampleManifest.model_validate_json(changed.model_dump_json(exclude_none=True))


def _weight(report: CheckReport) -> tuple[int, ...]:
    """Return how much a sample disagrees: the number of findings by severity, the gravest first."""
    counts = [0] * len(SEVERITY_ORDER)
    for finding in report.findings:
        counts[-1 - SEVERITY_ORDER[finding.severity]] += 1
    return tuple(counts)
