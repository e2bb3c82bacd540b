"""How drift is told: findings about parties, and one finding where one party, or all of them, explain many pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.contracts.base import Scalar
from services.contracts.findings import Cause, Finding, Measured, Severity, finding_id
from services.rules.definition_drift import DefinitionDriftKind, DefinitionDriftRules
from services.rules.rule_set import RuleSet

CHECK = "definition_drift"
SEVERITIES: dict[DefinitionDriftKind, Severity] = {
    "taxonomy_version_mix": "major", "class_confusion": "major", "boundary_bias": "major", "usage_shift": "minor",
    "agreement_low": "major",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Said:
    """One statement about a pair of parties, before it is known what explains it.

    Attributes:
        kind: The finding's kind.
        pair: The two parties, sorted.
        about: The rest of the statement's place: the question, the classes.
        message: For people.
        measured: The number.
        estimate: For the cause.
        sign: +1 where the first party is more (says the first class, draws looser), -1 where the second is, 0 for both.
    """

    kind: DefinitionDriftKind
    pair: tuple[str, str]
    about: tuple[str, ...]
    message: str
    measured: Measured
    estimate: Mapping[str, Scalar]
    sign: int = 0


class Teller:
    """Makes findings with the rule set's identity and severities.

    Args:
        rules: The rule set.
        section: Its section.
    """

    def __init__(self, rules: RuleSet, section: DefinitionDriftRules) -> None:
        self.rules = rules
        self.section = section

    def make(
        self,
        kind: DefinitionDriftKind,
        place: str,
        message: str,
        *,
        measured: Measured | None = None,
        estimate: Mapping[str, Scalar] | None = None,
        explains: Sequence[Finding] = (),
        severity: Severity | None = None,
    ) -> Finding:
        """Return a finding about the dataset."""
        identity = finding_id(CHECK, kind, self.rules.id, place=place)
        facts = {name[:200]: _short(value) for name, value in list((estimate or {}).items())[:50]}
        return Finding(
            finding_id=identity,
            check=CHECK,
            kind=kind,
            severity=self.section.severities.get(kind, severity or SEVERITIES[kind]),
            message=message[:2_000],
            measured=measured,
            cause=Cause(kind=kind, group=identity, estimate=facts),
            rule=self.rules.reference,
            explains=tuple(sorted(item.finding_id for item in explains)),
        )

    def of_pair(self, said: Said) -> Finding:
        """Return the finding of one pair."""
        estimate = {"party_a": said.pair[0], "party_b": said.pair[1], **said.estimate}
        place = "/".join((*said.about, *said.pair))
        return self.make(said.kind, place, said.message, measured=said.measured, estimate=estimate)


def _short(value: Scalar) -> Scalar:
    return value[:2_000] if isinstance(value, str) else value


def explained(
    teller: Teller, said: Sequence[Said], compared: Sequence[tuple[str, str]]
) -> tuple[list[tuple[Finding, tuple[Said, ...]]], list[Finding]]:
    """Return findings, and the single pairs' findings that they explain.

    A party that stands out against most of those it was compared with is the cause of all these pairs. Where most pairs
    of all parties say the same, it is the definition that does not hold, for everybody.

    Args:
        teller: Makes the findings.
        said: Statements of one kind about one thing; ``about`` is the same in all.
        compared: The pairs that could have been found.

    Returns:
        Findings with the statements behind each, and the folded findings.
    """
    left = sorted(said, key=lambda item: item.pair)
    result: list[tuple[Finding, tuple[Said, ...]]] = []
    folded: list[Finding] = []
    parties = {party for pair in compared for party in pair}
    if len(left) > 1 and len(parties) > 2:
        if len(left) > len(compared) / 2 and not _one_stands_out(left, compared):
            finding = _joint(teller, left, f"{len(parties)} parties", "all")
            folded += [teller.of_pair(item) for item in left]
            return [(finding, tuple(left))], folded
        while (party := _one_stands_out(left, compared)) is not None:
            own = [item for item in left if party in item.pair]
            finding = _joint(teller, own, party, party)
            result.append((finding, tuple(own)))
            folded += [teller.of_pair(item) for item in own]
            left = [item for item in left if party not in item.pair]
    result.extend((teller.of_pair(item), (item,)) for item in left)
    return result, folded


def _one_stands_out(said: Sequence[Said], compared: Sequence[tuple[str, str]]) -> str | None:
    """Return the party in most of whose pairs the statement holds, with one sign, while it holds for few others."""
    if len(said) < 2:
        return None
    of_all = Counter(party for pair in compared for party in pair)
    of_said = Counter(party for item in said for party in item.pair)
    for party, count in sorted(of_said.items(), key=lambda pair: (-pair[1], pair[0])):
        signs = {item.sign * (1 if item.pair[0] == party else -1) for item in said if party in item.pair}
        others = len(said) - count
        rest = len(compared) - of_all[party]
        if count >= 2 and count > of_all[party] / 2 and len(signs) == 1 and others <= rest / 4:
            return party
    return None


def _joint(teller: Teller, said: Sequence[Said], who: str, place: str) -> Finding:
    worst = max(said, key=lambda item: (abs(item.measured.value), item.pair))
    against = sorted({party for item in said for party in item.pair if party != who})
    message = f"{who} in {len(said)} pairs of parties ({', '.join(against[:8])}). The clearest: {worst.message}"
    estimate: dict[str, Scalar] = {
        "party": who, "pairs": len(said), "against": ", ".join(against)[:2_000], **worst.estimate
    }  # fmt: skip
    finding = teller.make(
        worst.kind, "/".join((*worst.about, place)), message, measured=worst.measured, estimate=estimate
    )
    return finding.model_copy(update={"explains": tuple(sorted(teller.of_pair(item).finding_id for item in said))})
