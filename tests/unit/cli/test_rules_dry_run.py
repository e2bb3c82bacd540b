"""How a dry run is printed: the samples that differ, then the numbers that are counted from them."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from infra.cli.rules_dry_run import print_dry_run
from services.contracts.findings import RuleReference
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.review import TaskKind
from services.contracts.rule_changes import (
    DryRun,
    FindingChange,
    JudgedFinding,
    PlannedTask,
    SampleTrial,
    SkippedSample,
)
from services.rule_changes.comparing import dry_run_counts, kind_accuracies, queue_changes

OLD, NEW = RuleReference(id="av", version=1), RuleReference(id="av", version=2)


def test_each_sample_that_differs_then_the_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    change = FindingChange(
        finding_id="f1", check="clock", kind="late", before="major", blocks_before=True, blocks_after=False,
        message="cam is late",
    )  # fmt: skip
    trial = SampleTrial(
        ref=RevisionRef(project="p", sample_id="s-1", revision=1), stage=Stage.IN_REVIEW, risk="high", label_version=1,
        rule_before=OLD, rechecked=True, changes=(change,), blocking_before=1,
        tasks_before=(PlannedTask(queue="clocks", kind=TaskKind.REVIEW, finding_ids=("f1",)),),
        judged=(JudgedFinding(finding_id="f1", check="clock", kind="late", truth="false", before=True, after=False),),
    )  # fmt: skip
    alike = trial.model_copy(
        update={"ref": trial.ref.model_copy(update={"sample_id": "s-2"}), "changes": (), "tasks_before": ()}
    )
    queues = queue_changes([trial, alike], {("clocks", "review"): 180.0})
    made = DryRun(
        dry_run_id=UUID(int=7), project="p", against=OLD, rule_set=NEW, rule_sha256="0" * 64, order="newest",
        counts=dry_run_counts([trial, alike], queues, skipped=1), kinds=kind_accuracies([trial]), queues=queues,
        samples=(trial, alike),
        skipped=(SkippedSample(ref=RevisionRef(project="p", sample_id="s-3", revision=1), reason="Labels changed."),),
        made_at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    print_dry_run(made)
    told = capsys.readouterr().out
    assert "s-1 (in_review, checked again)" in told
    assert "- major clock/late  cam is late" in told
    assert "- task review in clocks, 1 finding\n" in told
    assert "s-2" not in told, "nothing differs there"
    assert "s-3 not tried: Labels changed." in told
    assert "1 of 2 samples differ: 0 findings appear, 1 disappear" in told
    assert "people: -0.05 h; checked again at once: 2" in told
    assert "0/1 (0.00 to 0.79)" in told
