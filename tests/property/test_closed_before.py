"""Over any number of revisions a closed finding is asked about anew if, and only if, one of its labels has changed."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.contracts.annotations import Annotations
from services.contracts.findings import CheckReport, Finding
from services.contracts.review import FindingState, StoredFinding, Verdict
from services.lifecycle.merge import merge_findings
from services.review.earlier import Closing, Content, still_closed
from services.rules.rule_set import DEFAULT_RULE_SET
from tests.review_cases import AT, REF, a_decision, a_finding, a_label, a_revision, a_task, human

MANIFEST = a_revision().manifest
NAMES = ("a1", "a2", "a3")
FINDINGS: dict[str, Finding] = {
    name: a_finding(name, annotations=concerned).finding
    for name, concerned in {"f-1": ("a1",), "f-2": ("a2", "a3"), "f-3": ("a1", "a4"), "f-all": ()}.items()
}
DECISION = a_decision(a_task(finding_ids=tuple(FINDINGS)), Verdict.ACCEPT_CONFLICT, decision_id=UUID(int=1))

# One revision's labels: which of the three there are, what each says, and who made them.
words = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["yes", "no"]), min_size=1)
revisions = st.lists(st.tuples(words, st.sampled_from(["ann", "bo"])), min_size=1, max_size=6)


def labels_of(words: dict[str, str], author: str) -> Annotations:
    return tuple(a_label(name, word, human(author)) for name, word in words.items())


def said_of(finding: Finding, words: dict[str, str]) -> dict[str, str | None]:
    return {name: words.get(name) for name in finding.annotations} if finding.annotations else dict(words)


def checked(number: int, annotations: Annotations, closings: tuple[Closing, ...]) -> dict[str, StoredFinding]:
    report = CheckReport(rule=DEFAULT_RULE_SET.reference, findings=tuple(FINDINGS.values()))
    now = Content(MANIFEST, (), annotations)
    merged = merge_findings(
        (),
        report,
        ref=REF.model_copy(update={"revision": number}),
        rules=DEFAULT_RULE_SET,
        annotations=annotations,
        label_version=1,
        now=AT,
        closed_before=still_closed(report, (), now, closings, risk="low", rules=DEFAULT_RULE_SET),
    )
    return {item.finding.finding_id: item for item in merged}


@given(words, revisions)
def test_a_closed_finding_is_asked_anew_if_and_only_if_one_of_its_labels_changed(
    first: dict[str, str], later: list[tuple[dict[str, str], str]]
) -> None:
    annotations = labels_of(first, "ann")
    state = {
        name: item.model_copy(update={"state": FindingState.ACCEPTED, "decision_id": DECISION.decision_id})
        for name, item in checked(1, annotations, ()).items()
    }
    before, contents = first, annotations
    for number, (now, author) in enumerate(later, 2):
        closings = tuple(
            Closing(item, DECISION, Content(MANIFEST, (), contents))
            for item in state.values()
            if item.state is FindingState.ACCEPTED
        )
        contents = labels_of(now, author)
        was, state = state, checked(number, contents, closings)
        for name, item in state.items():
            same = said_of(FINDINGS[name], now) == said_of(FINDINGS[name], before)
            stays = was[name].state is FindingState.ACCEPTED and same
            assert item.state is (FindingState.ACCEPTED if stays else FindingState.OPEN)
            told = (item.decision_id, item.decision_revision)
            assert told == ((DECISION.decision_id, 1) if stays else (None, None))
        before = now
