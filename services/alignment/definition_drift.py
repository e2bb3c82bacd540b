"""``definition_drift``: do the teams mean the same by the same labels?

:func:`definition_drift` looks at a whole dataset. It reads each party's labels (a team, or an author without one),
matches what several parties labelled alike, and says

* ``taxonomy_version_mix``: labels of several versions of one taxonomy. Where crosswalks are exact, older labels are
  translated before anything else is compared, so that a mix of versions is not also told as a confusion;
* ``class_confusion``: the pair of classes that two parties confuse, how often, and the direction;
* ``agreement_low``: Krippendorff's alpha too low, as a whole or of a class, with its interval;
* ``boundary_bias``: one party draws tighter, looser, shorter, longer or aside;
* ``usage_shift``: one party uses a class far more than the other.

One cause is one finding: what one party does against all others is told once, low agreement that vanishes when two
confused classes count as one is folded under their confusion, and so is the shift of usage it brings.

:func:`check_definition_drift` is the form for a single sample: versions that are mixed within it, with the crosswalk as
a patch where it is exact.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from services.alignment.drift_agreement import agreement_findings
from services.alignment.drift_boundary import boundary_statements
from services.alignment.drift_findings import CHECK, SEVERITIES, Said, Teller, explained
from services.alignment.drift_units import Gathered, gather, is_judged, newest, pairs_of, split_version
from services.alignment.drift_usage import usage_statements, version_findings
from services.alignment.sample import CheckOutcome, CheckSample
from services.contracts.annotations import Annotation
from services.contracts.findings import (
    Cause,
    Finding,
    LabelPatch,
    Measured,
    NotApplicable,
    Suggestion,
    finding_id,
)
from services.rules.definition_drift import DefinitionDriftRules
from services.rules.rule_set import RuleSet
from services.taxonomy.crosswalk import Crosswalks

_MAX_PATCH = 10_000


def definition_drift(samples: Iterable[CheckSample], rules: RuleSet) -> CheckOutcome:
    """Return where the parties of a dataset drift apart.

    Args:
        samples: The dataset, in any order; assets are not looked at.
        rules: The section ``definition_drift``; without one the defaults are used.
    """
    return compare(gather(samples, rules.definition_drift or DefinitionDriftRules()), rules)


def compare(found: Gathered, rules: RuleSet) -> CheckOutcome:
    """Return where the parties of a dataset drift apart, of what :func:`gather` read of it."""
    section = rules.definition_drift or DefinitionDriftRules()
    teller = Teller(rules, section)
    findings = list(version_findings(teller, found.versions))
    folded: list[Finding] = []
    confusions: list[Said] = []
    for question, units in found.by_question().items():
        own, under, said = agreement_findings(teller, question, units)
        findings += own
        folded += under
        confusions += said
        compared = pairs_of(units)
        for statements in _by_place(boundary_statements(teller, question, units)):
            told, under = explained(teller, statements, compared)
            findings += [finding for finding, _ in told]
            folded += under
    findings, shifts = _with_usage(teller, found, findings, confusions)
    folded += shifts
    reasons = _reasons(found)
    return CheckOutcome(tuple(sorted(findings, key=_order)), tuple(sorted(folded, key=_order)), reasons)


def _order(finding: Finding) -> tuple[str, str]:
    return finding.kind, finding.finding_id


def _by_place(said: Iterable[Said]) -> list[list[Said]]:
    groups: dict[tuple[str, ...], list[Said]] = defaultdict(list)
    for item in said:
        groups[item.about].append(item)
    return [groups[about] for about in sorted(groups)]


def _with_usage(
    teller: Teller, found: Gathered, findings: list[Finding], confusions: list[Said]
) -> tuple[list[Finding], list[Finding]]:
    """Add the shifts of usage; those that a confusion of the same two parties brings are folded under it."""
    folded: list[Finding] = []
    confused = {(said.about[0], *said.pair): said for said in confusions if said.sign != 0}
    by_id = {finding.finding_id: finding for finding in findings}
    parents = {child: finding.finding_id for finding in findings for child in finding.explains}
    for statements in _by_place(usage_statements(teller, found)):
        alone = []
        for said in statements:
            cause = confused.get((said.about[0], *said.pair))
            if cause is None:
                alone.append(said)
                continue
            symptom = teller.of_pair(said)
            folded.append(symptom)
            identity = teller.of_pair(cause).finding_id
            top = by_id.get(parents.get(identity, identity))
            if top is not None:
                explains = tuple(sorted({*top.explains, symptom.finding_id}))
                by_id[top.finding_id] = top.model_copy(update={"explains": explains})
        if alone:
            told, under = explained(teller, alone, [said.pair for said in statements])
            by_id |= {finding.finding_id: finding for finding, _ in told}
            folded += under
    return list(by_id.values()), folded


def _reasons(found: Gathered) -> tuple[NotApplicable, ...]:
    reasons = []
    if len(found.parties) < 2:
        reasons.append("fewer than two teams or authors are named, so none can be compared")
    elif not found.units:
        reasons.append("no two teams labelled the same thing, so agreement and boundaries can not be compared")
    return tuple(NotApplicable(check=CHECK, reason=reason) for reason in reasons)


def check_definition_drift(sample: CheckSample, rules: RuleSet) -> CheckOutcome:
    """Return the taxonomies of which one sample has labels of several versions."""
    section = rules.definition_drift or DefinitionDriftRules()
    by_taxonomy: dict[str, dict[str, list[Annotation]]] = defaultdict(lambda: defaultdict(list))
    for label in sorted(sample.annotations, key=lambda item: item.id):
        if label.taxonomy_version is not None and is_judged(label, section):
            taxonomy, version = split_version(label.taxonomy_version)
            by_taxonomy[taxonomy][version].append(label)
    if not by_taxonomy:
        reason = "no label of the sample names a taxonomy version; teams are compared over a dataset"
        return CheckOutcome(not_applicable=(NotApplicable(check=CHECK, reason=reason),))
    walks = Crosswalks(section.crosswalks)
    findings = [
        _mix(rules, section, walks, taxonomy, versions)
        for taxonomy, versions in sorted(by_taxonomy.items())
        if len(versions) > 1
    ]
    return CheckOutcome(tuple(findings))


def _mix(
    rules: RuleSet,
    section: DefinitionDriftRules,
    walks: Crosswalks,
    taxonomy: str,
    versions: dict[str, list[Annotation]],
) -> Finding:
    latest = newest(versions)
    target = f"{taxonomy}@{latest}"
    older = [label for version in sorted(versions) if version != latest for label in versions[version]]
    total = sum(len(labels) for labels in versions.values())
    counts = Counter({version: len(labels) for version, labels in versions.items()})
    fixed: list[Annotation] = []
    for label in older:
        moved = walks.translate(label.label, label.taxonomy_version or "", target, label.attributes)
        if moved.exact is not None:
            fixed.append(label.model_copy(update={"label": moved.exact, "taxonomy_version": target}))
    suggestion = None
    if len(fixed) == len(older) <= _MAX_PATCH:
        summary = f"Translate {len(fixed)} labels to {target} by the crosswalk."
        suggestion = Suggestion(summary=summary, patch=LabelPatch(upsert=tuple(fixed)))
    shown = ", ".join(f"{count} of {taxonomy}@{version}" for version, count in sorted(counts.items()))
    identity = finding_id(CHECK, "taxonomy_version_mix", rules.id, place=taxonomy)
    return Finding(
        finding_id=identity,
        check=CHECK,
        kind="taxonomy_version_mix",
        severity=section.severities.get("taxonomy_version_mix", SEVERITIES["taxonomy_version_mix"]),
        message=f"The sample mixes versions of {taxonomy}: {shown}."[:2_000],
        measured=Measured(value=len(older) / total, unit="share of labels", threshold=0.0),
        streams=tuple(sorted({label.stream for label in older})),
        annotations=tuple(label.id for label in older),
        frames=tuple(sorted({label.frame for label in older if label.frame is not None})),
        cause=Cause(
            kind="taxonomy_version_mix",
            group=identity,
            estimate={"newest": latest, **{f"labels_of_{name}"[:200]: counts[name] for name in sorted(counts)[:40]}},
        ),
        rule=rules.reference,
        suggestion=suggestion,
    )
