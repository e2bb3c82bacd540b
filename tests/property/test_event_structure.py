from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.alignment.event_structure import check_event_structure
from services.contracts.annotations import Annotation
from services.rules.event_structure import EventRule, EventStructureRules
from services.rules.rule_set import RuleSet
from tests.unit.event_samples import action, mark, sample_of, sound

RULES = RuleSet(
    id="r",
    version=1,
    event_structure=EventStructureRules(
        events=(
            EventRule(label="b", requires_before=("a",), each_once=True, within_s=20),
            EventRule(label="*", exclusive_group="all", scope="object"),
            EventRule(label="a", pairs="c"),
        )
    ),
)
TIMES = st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0, 2.0, 99.9, 100.0, 1e9, -1e9])
ROWS = st.lists(
    st.tuples(st.sampled_from("abc"), TIMES, TIMES, st.sampled_from(["see", "hear", "start", "end"])), max_size=14
)


def labels_of(rows: list[tuple[str, float, float, str]], prefix: str = "l") -> list[Annotation]:
    made: dict[str, Any] = {"see": action, "hear": sound}
    return [
        made[how](f"{prefix}{i:03}", label, one, other) if how in made else mark(f"{prefix}{i:03}", label, how, one)
        for i, (label, one, other, how) in enumerate(rows)
    ]


@given(rows=ROWS, data=st.data())
@settings(max_examples=60, deadline=None)
def test_the_order_of_the_labels_does_not_matter(
    rows: list[tuple[str, float, float, str]], data: st.DataObject
) -> None:
    labels = labels_of(rows)
    mixed = data.draw(st.permutations(labels))
    once, again = (check_event_structure(sample_of(items), RULES) for items in (labels, mixed))
    assert once == again or set(once.findings) == set(again.findings)
    ids = [finding.finding_id for finding in (*once.findings, *once.folded)]
    assert len(ids) == len(set(ids))


@given(rows=ROWS)
@settings(max_examples=40, deadline=None)
def test_other_ids_give_the_same_findings_about_the_renamed_labels(rows: list[tuple[str, float, float, str]]) -> None:
    once = check_event_structure(sample_of(labels_of(rows)), RULES)
    other = check_event_structure(sample_of(labels_of(rows, "renamed-")), RULES)
    assert [item.kind for item in once.findings] == [item.kind for item in other.findings]
    assert [item.message for item in once.findings] == [item.message for item in other.findings]
