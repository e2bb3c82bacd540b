from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from services.alignment.clock import check_clock
from services.contracts.manifest import Clock, Stream
from services.rules.clock import ClockRules
from services.rules.rule_set import RuleSet
from tests.unit.event_samples import sample_of

RULES = RuleSet(id="r", version=1, clock=ClockRules(min_items=3, min_rhythm_items=3))
TIMES = st.lists(st.floats(-1e9, 1e9) | st.floats(0, 10) | st.sampled_from([0.0, 1.0, 2.0, 3.0, 1e9]), max_size=12)


@given(clocks=st.lists(TIMES, min_size=1, max_size=4), ordered=st.booleans())
@settings(max_examples=80, deadline=None)
def test_any_clocks_in_any_order_of_streams_give_the_same_findings(clocks: list[list[float]], ordered: bool) -> None:
    streams = [
        Stream(id=f"s{i}", modality="video", clock=Clock(timestamps=tuple(sorted(times) if ordered else times)))
        for i, times in enumerate(clocks)
    ]
    once = check_clock(sample_of(streams=streams), RULES)
    again = check_clock(sample_of(streams=streams[::-1]), RULES)
    assert once == again
    ids = [finding.finding_id for finding in (*once.findings, *once.folded)]
    assert len(ids) == len(set(ids))


@given(offset_s=st.floats(-1e5, 1e5).filter(lambda value: abs(value) > 0.2), count=st.integers(10, 300))
@settings(max_examples=40, deadline=None)
def test_any_offset_is_estimated(offset_s: float, count: int) -> None:
    times = [i / 10 for i in range(count)]
    streams = [
        Stream(id="a", modality="video", clock=Clock(timestamps=tuple(times))),
        Stream(id="b", modality="lidar", clock=Clock(timestamps=tuple(time + offset_s for time in times))),
    ]
    (finding,) = check_clock(sample_of(streams=streams), RULES).findings
    assert finding.cause is not None
    assert abs(float(finding.cause.estimate["offset_s"]) - offset_s) < 1e-3
