from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from services.alignment.coverage import check_coverage, covered_s
from services.alignment.dataset_coverage import dataset_coverage
from services.contracts.manifest import Context
from services.rules.coverage import CoverageRules, Dimension, EdgeCase, RequiredLabels, SampleRequirement
from services.rules.rule_set import RuleSet
from tests.unit.event_samples import action, sample_of

PLACE, TIME = "attributes.place", "attributes.time"
NEED = RequiredLabels(type="action", label="a*", min_count=2, min_time_share=0.3)
RULES = RuleSet(
    id="r",
    version=1,
    coverage=CoverageRules(
        dimensions=(Dimension(field=PLACE, values=("x", "y")), Dimension(field=TIME, values=("x", "z"), min_share=0.3)),
        combinations=((PLACE, TIME),),
        edge_cases=(EdgeCase(name="e", labels=(NEED,)),),
        requirements=(SampleRequirement(name="n", labels=(NEED,), modalities=("lidar",)),),
    ),
)
VALUES = st.sampled_from(["x", "y", "z", ""])
TIMES = st.floats(-1e6, 1e6)


@given(
    rows=st.lists(
        st.tuples(VALUES, VALUES, st.lists(st.tuples(TIMES, TIMES, st.sampled_from(["a", "ab", "c"])), max_size=5)),
        max_size=10,
    ),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_order_never_matters_and_counts_add_up(
    rows: list[tuple[str, str, list[tuple[float, float, str]]]], data: st.DataObject
) -> None:
    samples = []
    for number, (place, time, actions) in enumerate(rows):
        labels = [action(f"l{i}", label, one, other) for i, (one, other, label) in enumerate(actions)]
        context = Context(attributes={"place": place, "time": time})
        samples.append(sample_of(labels, context=context, name=f"s{number}"))
        mixed = sample_of(data.draw(st.permutations(labels)), context=context, name=f"s{number}")
        assert check_coverage(samples[-1], RULES) == check_coverage(mixed, RULES)
    result = dataset_coverage(samples, RULES)
    assert result == dataset_coverage(data.draw(st.permutations(samples)), RULES)
    assert 0 <= result.score <= 1
    found = {count.name: count.found for count in result.counts}
    assert found[f"{PLACE}=x & {TIME}=x"] <= min(found[f"{PLACE}=x"], found[f"{TIME}=x"])
    assert all(count.share_low <= count.share <= count.share_high + 1e-12 for count in result.counts)


@given(st.lists(st.tuples(TIMES, TIMES)), st.floats(0.1, 1e6))
def test_covered_time_is_never_more_than_the_recording(spans: list[tuple[float, float]], length_s: float) -> None:
    assert -1e-9 <= covered_s(spans, length_s) <= length_s * (1 + 1e-9)
