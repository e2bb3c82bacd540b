"""Who made a label, over all revisions of a sample, and whose verdict is in question when a finding is asked anew."""

from __future__ import annotations

from collections import Counter
from typing import Any

from services.contracts.annotations import Annotation
from services.contracts.label_base import Author
from services.contracts.lifecycle import RevisionRef
from services.contracts.records import LabelSet
from services.contracts.review import Decision, LabelOrigin, TaskKind, Verdict
from services.review.authorship import EarlierWork, count_human_authors
from services.review.routing import excluded_actors, follow_up
from tests.review_cases import REF, a_decision, a_finding, a_label, a_label_set, a_task, human

UPSTREAM = Author(kind="importer", id="upstream")
CONSENSUS = Author(kind="consensus", id="answers")


def of(revision: int) -> RevisionRef:
    return REF.model_copy(update={"revision": revision})


def made(
    revision: int, version: int, author: Author, *labels: Annotation, origin: LabelOrigin = "annotator"
) -> LabelSet:
    return a_label_set(version, author, *labels).model_copy(update={"ref": of(revision), "origin": origin})


def authors(label_sets: list[LabelSet], earlier: list[LabelSet], *names: str) -> Counter[str]:
    return count_human_authors(label_sets, names or None, earlier)


def test_a_label_that_upstream_hands_in_again_is_still_made_by_who_made_it() -> None:
    before = [made(1, 1, human("ann"), a_label("a1", author=human("ann")), a_label("a2", author=human("ann")))]
    now = [made(2, 1, UPSTREAM, a_label("a1"), a_label("a2", "no"), origin="manifest")]
    assert authors(now, before) == {"ann": 1}
    assert authors(now, before, "a2") == {}, "another label has its place"


def test_what_was_replaced_in_an_earlier_revision_is_nobodys_work_any_more() -> None:
    before = [
        made(1, 1, human("ann"), a_label("a1", "no", human("ann"))),
        made(1, 2, human("bo"), a_label("a1", "yes", human("bo")), origin="reviewer"),
    ]
    assert authors([made(2, 1, UPSTREAM, a_label("a1"), origin="manifest")], before) == {"bo": 1}
    assert authors([made(2, 1, UPSTREAM, a_label("a1", "no"), origin="manifest")], before) == {"ann": 1}


def test_what_several_people_answered_is_theirs_in_later_revisions_too() -> None:
    joined = a_label("a1").model_copy(update={"confidence": 1.0})
    before = [
        made(1, 1, human("ann"), a_label("a1", author=human("ann"))),
        made(1, 2, human("bo"), a_label("a1", author=human("bo"))),
        made(1, 3, CONSENSUS, joined, origin="consensus"),
    ]
    for origin in ("manifest", "migration", "incident"):
        assert authors([made(2, 1, UPSTREAM, joined, origin=origin)], before) == {"ann": 1, "bo": 1}
    again = [
        made(2, 1, human("cy"), a_label("a1", author=human("cy"))),
        made(2, 2, CONSENSUS, joined, origin="consensus"),
    ]
    assert authors(again, before).keys() == {"ann", "bo", "cy"}


def test_a_label_that_was_carried_over_is_made_by_who_made_it_and_not_by_who_corrected_another() -> None:
    before = [
        made(1, 1, human("ann"), a_label("a1"), a_label("a2")),
        made(1, 2, human("rita"), a_label("a1"), a_label("a2", "no", human("rita")), origin="reviewer"),
    ]
    renamed = a_label("a1", "aye"), a_label("a2", "nay", human("rita"))
    carried = [made(2, 1, human("rita"), *renamed, origin="migration")]
    assert authors(carried, before, "a1") == {"ann": 1}
    assert authors(carried, before, "a2") == {"rita": 1}
    inside = [*before, made(1, 3, human("rita"), *renamed, origin="migration")]
    assert authors(inside, [], "a1") == {"ann": 1}
    fixed = made(2, 1, human("rita"), a_label("a1"), a_label("a2", "no", human("rita")), origin="incident")
    assert authors([fixed], before, "a1") == {"ann": 1}


def test_a_label_keeps_its_makers_over_many_revisions() -> None:
    before: list[Any] = [
        made(1, 1, human("ann"), a_label("a1", author=human("ann"))),
        made(2, 1, UPSTREAM, a_label("a1"), origin="manifest"),
        made(3, 1, UPSTREAM, a_label("a1", "aye"), origin="migration"),
    ]
    assert authors([made(4, 1, UPSTREAM, a_label("a1", "aye"), origin="manifest")], before) == {"ann": 1}
    assert authors([made(4, 1, UPSTREAM, a_label("a1"), origin="manifest")], before) == {"ann": 1}


def judged(revision: int, who: str, kind: TaskKind = TaskKind.REVIEW, finding: str = "f-1") -> Decision:
    return a_decision(a_task(kind, finding_ids=(finding,)), Verdict.APPROVE, who, ref=of(revision))


def test_who_decided_a_finding_last_is_not_asked_again_about_it() -> None:
    earlier = EarlierWork(
        (),
        (
            judged(1, "ann"),
            judged(2, "rita"),
            judged(2, "exa", TaskKind.ADJUDICATE),
            judged(3, "cy", finding="f-2"),
            judged(3, "dan", TaskKind.REWORK),
        ),
    )
    assert earlier.questioned(("f-1",)) == {"rita", "exa"}
    assert earlier.questioned(("f-1", "f-2")) == {"rita", "exa", "cy"}
    assert earlier.questioned(("f-9",)) == frozenset()
    now = [made(4, 1, UPSTREAM, a_label("a1"), origin="manifest")]
    assert excluded_actors([a_finding().finding], {}, now, (), earlier) == ("exa", "rita")


def test_what_is_rejected_goes_back_to_who_made_it_in_an_earlier_revision() -> None:
    before = made(1, 1, human("ann"), a_label("a1", author=human("ann")))
    now = (made(2, 1, UPSTREAM, a_label("a1"), origin="manifest"),)
    task = a_task()
    decision = a_decision(task, Verdict.REJECT, note="Another word.")
    rework = follow_up(
        decision,
        TaskKind.REWORK,
        task,
        findings=(a_finding(),),
        folded=(),
        label_sets=now,
        decisions=(decision,),
        may_rework=lambda person: True,
        earlier=EarlierWork((before,), ()),
    )
    assert rework.assignee == "ann"
