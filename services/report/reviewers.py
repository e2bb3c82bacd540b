"""Reviewers who interpret differently: do the parties mean the same by the same labels, and judge findings alike?

Two parties are compared on one kind of label where they labelled enough of the same things, or enough samples each
(section ``definition_drift``). Beside them stands each finding that two people judged, one after the other.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from itertools import combinations

from services.alignment.definition_drift import compare
from services.alignment.drift_units import Gathered, gather, pairs_of, party_of
from services.alignment.sample import CheckSample
from services.contracts.dataset_report import ReportEntry
from services.contracts.findings import Finding
from services.contracts.review import Decision, Verdict
from services.report.sample import ReportSample
from services.report.tally import Tally, entry_of
from services.rules.definition_drift import DefinitionDriftRules
from services.rules.rule_set import RuleSet

CHECK = "definition_drift"
_TURNS = frozenset({Verdict.APPROVE, Verdict.FIX, Verdict.REJECT, Verdict.ACCEPT_CONFLICT, Verdict.DISCARD})
Pair = tuple[str, str, str]
"""(question, party, party): the question is the kind of label."""


class Reviewers:
    """Gathers labels whose party is known; of other samples nothing is kept.

    Args:
        rules: The section ``definition_drift``.
        tally: Of the issue; what people decided on findings goes to it at once.
    """

    def __init__(self, rules: RuleSet, tally: Tally) -> None:
        self._rules = rules
        self._section = rules.definition_drift or DefinitionDriftRules()
        self._enabled = rules.definition_drift is not None and self._section.enabled
        self._tally = tally
        self._kept: dict[str, list[CheckSample]] = defaultdict(list)
        self._unnamed: Counter[bool] = Counter()

    def add(self, item: ReportSample) -> None:
        """Gather one sample."""
        if item.evidence is not None:
            self._count_decisions(item, item.evidence.decisions)
        if not self._enabled or not item.sample.annotations:
            return
        authors = item.evidence.authors if item.evidence is not None else {}
        labels = tuple(
            label
            if label.author is not None or label.id not in authors
            else label.model_copy(update={"author": authors[label.id]})
            for label in item.sample.annotations
        )
        named = tuple(label for label in labels if party_of(label, self._section) is not None)
        self._unnamed[not named] += 1
        if named:
            manifest = item.sample.manifest.model_copy(update={"annotations": ()})
            self._kept[manifest.project].append(replace(item.sample, manifest=manifest, annotations=named))

    def _count_decisions(self, item: ReportSample, decisions: tuple[Decision, ...]) -> None:
        verdicts: dict[str, dict[str, str]] = defaultdict(dict)
        for decision in decisions:
            if decision.verdict in _TURNS:
                for name in decision.finding_ids:
                    # Somebody's first verdict is their own view; a later one may follow another person's.
                    verdicts[name].setdefault(decision.actor_id, decision.verdict.value)
        judged = {name: said for name, said in verdicts.items() if len(said) > 1}
        manifest = item.sample.manifest
        entries = [
            ReportEntry(
                project=manifest.project, sample_id=manifest.sample_id, place=f"finding {name}",
                sentence="Two people judged it differently: "
                + ", ".join(f"{who} {verdict}" for who, verdict in sorted(said.items()))[:1_900] + ".",
                reasons=("other_verdict",), finding_ids=(name,),
            )
            for name, said in sorted(judged.items())
            if len(set(said.values())) > 1
        ]  # fmt: skip
        if judged:
            self._tally.add_sample(len(judged), entries)

    def count(self) -> None:
        """Compare the parties of each project."""
        if not self._enabled:
            self._tally.not_judged("the rule set does not ask for this check", CHECK, samples=0)
            return
        if self._unnamed[True]:
            reason = "no label names a team or an author whose definitions could be compared"
            self._tally.not_judged(reason, CHECK, samples=self._unnamed[True])
        if not self._kept:
            self._tally.not_judged("fewer than two teams or authors are named, so none can be compared", samples=0)
        for project in sorted(self._kept):
            # By id, so that nothing hangs on the order in which the samples came.
            samples = sorted(self._kept[project], key=lambda one: one.manifest.sample_id)
            self._compare(project, samples)

    def _compare(self, project: str, samples: list[CheckSample]) -> None:
        found = gather(samples, self._section)
        outcome = compare(found, self._rules)
        for missing in outcome.not_applicable:
            self._tally.not_judged(missing.reason, CHECK, samples=len(samples))
        population, few = self._compared(found)
        if few:
            reason = (
                f"{few} pair{' of parties has' if few == 1 else 's of parties have'} fewer than "
                f"{self._section.min_units} things in common and too few samples (definition_drift.min_units, "
                "min_usage_samples)"
            )
            self._tally.not_judged(reason, CHECK, samples=0)
        own = [one for one in outcome.findings if one.kind != "taxonomy_version_mix"]
        # What is folded under a party's finding says with which others the party was compared.
        folded = {one.finding_id: one for one in outcome.folded}
        failing: dict[Pair, list[Finding]] = defaultdict(list)
        for finding in own:
            members = [finding, *(folded[name] for name in finding.explains if name in folded)]
            pairs = {pair for one in members if (pair := _pair_of(one)) is not None}
            for pair in pairs or {("", finding.finding_id, "")}:
                failing[pair].append(finding)
        entries = [
            entry_of(None, _place(pair), findings).model_copy(update={"project": project})
            for pair, findings in sorted(failing.items())
        ]
        self._tally.add(len(population | failing.keys()), entries)

    def _compared(self, found: Gathered) -> tuple[set[Pair], int]:
        section = self._section
        compared: set[Pair] = set()
        possible: set[Pair] = set()
        for question, units in found.by_question().items():
            shared: Counter[tuple[str, str]] = Counter()
            for unit in units:
                shared.update(combinations(sorted(unit.items), 2))
            possible |= {(question, *pair) for pair in pairs_of(units)}
            compared |= {(question, *pair) for pair, count in shared.items() if count >= section.min_units}
        by_question: dict[str, list[str]] = defaultdict(list)
        for party, question in found.usage:
            by_question[question].append(party)
        for question, parties in by_question.items():
            for one, other in combinations(sorted(parties), 2):
                pair = (question, one, other)
                possible.add(pair)
                samples = [set(found.usage[party, question]) for party in (one, other)]
                both = samples[0] & samples[1]
                alone = min(len(names - both) for names in samples)
                classes = {name for party in (one, other) for used in found.usage[party, question].values()
                           for name in used}  # fmt: skip
                if max(len(both), alone) >= section.min_usage_samples and len(classes) > 1:
                    compared.add(pair)
        return compared, len(possible - compared)


def _pair_of(finding: Finding) -> Pair | None:
    estimate = finding.cause.estimate if finding.cause is not None else {}
    question, one, other = (estimate.get(name) for name in ("question", "party_a", "party_b"))
    if isinstance(question, str) and isinstance(one, str) and isinstance(other, str):
        return question, one, other
    return None


def _place(pair: Pair) -> str:
    question, one, other = pair
    return f"{question} labels of {one} and {other}"[:2_000] if question else "all parties"
