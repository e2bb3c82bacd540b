"""Samples in review whose project goes over to another taxonomy: which are checked again at once.

All others that are under way are checked by the new version in their course: when their tasks are done, when somebody
has labelled them, and before they are committed.
"""

from __future__ import annotations

from services.contracts.review import FindingState
from services.lifecycle.steps import read_revision
from services.ports.database import Transaction
from services.ports.taxonomies import LabelledSample
from services.rule_changes.facts import IN_REVIEW, OpenSample, read_open_sample
from services.rule_changes.rechecking import check_again
from services.rules.rule_set import RuleSet
from services.taxonomy.migrating import SamplePlan

_CHECK = "taxonomy_conformance"
_TAKEN_BACK = "The project goes by another taxonomy version now; the sample is checked again by it."


async def would_recheck(tx: Transaction, sample: LabelledSample, plan: SamplePlan, target: str, rules: RuleSet) -> bool:
    """Whether a sample would be checked again at once now; nothing is changed and nothing is locked.

    Args:
        tx: The transaction.
        sample: The sample.
        plan: What becomes of its labels.
        target: The version that the project goes over to.
        rules: The project's rules.
    """
    if not await _is_concerned(tx, sample, plan):
        return False
    revision, tasks = await read_revision(tx, sample.ref), await tx.review.tasks_of(sample.ref)
    return _may(await read_open_sample(tx, revision, tasks), target, rules)


async def recheck(tx: Transaction, sample: LabelledSample, plan: SamplePlan, target: str, rules: RuleSet) -> bool:
    """Have a locked sample checked again, if that is what :func:`would_recheck` says of it now."""
    if not await _is_concerned(tx, sample, plan):
        return False
    return await check_again(tx, sample.ref, lambda one: _may(one, target, rules), _TAKEN_BACK, f"taxonomy-{target}")


async def _is_concerned(tx: Transaction, sample: LabelledSample, plan: SamplePlan) -> bool:
    """Whether a sample in review has labels that change, or waits for an answer about their classes."""
    if sample.stage not in IN_REVIEW:
        return False
    return plan.changes or any(
        item.state is FindingState.OPEN and item.finding.check == _CHECK
        for item in await tx.review.findings(sample.ref)
    )


def _may(sample: OpenSample, target: str, rules: RuleSet) -> bool:
    return sample.run is not None and sample.run.taxonomy != target and sample.may_be_rechecked(rules)
