"""``event_structure``: do events last, lie in their recording, and come in the order the rule set asks for?

1. Each event by itself (:mod:`services.alignment.event_times`): ``negative_duration``, ``no_duration``,
   ``duration_implausible``, ``outside_media``; and numbered events whose times fall back: ``order_violation``.
2. Events against the rule set's order (:mod:`services.alignment.event_order`): ``missing_predecessor``,
   ``order_violation``, ``unpaired_start``, ``unpaired_end``, ``exclusive_overlap``.
3. Events in two modalities (:mod:`services.alignment.event_offset`): an offset of a whole stream is one
   ``cross_modal_offset`` with its estimate, under which the single ones it explains are folded; and
   ``missing_counterpart``.

The order is rule data (:class:`services.rules.event_structure.EventRule`). Times are seconds from the start of the
label's stream; streams whose clocks start at different moments are compared on the common clock.
"""

from __future__ import annotations

from services.alignment.event_labels import CHECK, RECORDINGS, view_of
from services.alignment.event_offset import cross_modal_findings
from services.alignment.event_order import exclusive_findings, order_findings, pair_findings
from services.alignment.event_times import sequence_findings, time_findings
from services.alignment.sample import CheckOutcome, CheckSample
from services.contracts.findings import NotApplicable
from services.rules.rule_set import RuleSet


def check_event_structure(sample: CheckSample, rules: RuleSet) -> CheckOutcome:
    """Return every fault of the sample's events in duration, place, order and coincidence.

    Args:
        sample: Labels with a start and an end: actions, events, sounds, emotions, turns and segments.
        rules: The section ``event_structure``; without it nothing is judged.
    """
    section = rules.event_structure
    if section is None:
        return CheckOutcome()
    view = view_of(sample, rules, section)
    if not view.events:
        reason = "the sample has no events with a start and an end"
        return CheckOutcome(not_applicable=(NotApplicable(check=CHECK, reason=reason),))
    offsets, folded = cross_modal_findings(view)
    findings = [
        *time_findings(view), *sequence_findings(view), *order_findings(view), *pair_findings(view),
        *exclusive_findings(view), *offsets,
    ]  # fmt: skip
    unique = {finding.finding_id: finding for finding in findings}
    modality = {stream.id: stream.modality for stream in sample.manifest.streams}
    timeless = {event.stream for event in view.events} - set(view.duration_s)
    unmeasured = tuple(sorted(name for name in timeless if modality.get(name) in RECORDINGS))
    reason = "nothing says how long the recording is, so that labels after its end can not be told"
    missing = (NotApplicable(check=CHECK, reason=reason, streams=unmeasured),) if unmeasured else ()
    return CheckOutcome(tuple(unique.values()), tuple(folded), missing)
