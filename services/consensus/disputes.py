"""What of a label people do not agree on, by the numbers that a consensus keeps of it. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping

from services.contracts.consensus import ConsensusLabel, Dispute
from services.rules.consensus import ConsensusRules

_SAME = 1e-9


def share_of(votes: Mapping[str, float]) -> float:
    """Return the greatest share of the weight that a class has; 0 without votes."""
    total = sum(votes.values())
    return max(votes.values()) / total if total > 0 else 0.0


def support_of(label: ConsensusLabel) -> float:
    """Return the share of those who answered that labelled the thing; 0 where nobody answered."""
    people = len(label.support) + len(label.absent)
    return len(label.support) / people if people else 0.0


def disputes_of(
    kind: str, support: float, place: float | None, votes: Mapping[str, float], rules: ConsensusRules
) -> tuple[Dispute, ...]:
    """Return what the rules are not met in.

    Args:
        kind: The label's kind.
        support: Share of those who answered that labelled the thing.
        place: Mean closeness of any two who did; None of fewer than two, or where there is no place to agree on.
        votes: Weight of each class.
        rules: Thresholds.
    """
    found: list[Dispute] = []
    if support < rules.min_support - _SAME:
        found.append("few_supporters")
    total = sum(votes.values())
    if sum(weight >= max(votes.values()) - _SAME * total for weight in votes.values()) > 1:
        found.append("class_tied")
    elif votes and share_of(votes) < rules.min_class_share - _SAME:
        found.append("class_split")
    if place is not None and place < rules.place_of(kind) - _SAME:
        found.append("place_apart")
    return tuple(found)


def disputes_in(label: ConsensusLabel, rules: ConsensusRules) -> tuple[Dispute, ...]:
    """Return what of a stored label is disputed by these rules; nothing of an accepted one or of a single answer."""
    if label.state == "accepted" or len(label.support) + len(label.absent) < rules.min_answers:
        return ()
    return disputes_of(label.annotation.type, support_of(label), label.place, label.votes, rules)
