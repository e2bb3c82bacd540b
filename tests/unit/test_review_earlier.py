"""Which findings stay closed by what people decided on an earlier revision."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from infra.bench.taxonomy.fill import AFTER, BEFORE, NEW, OLD
from services.contracts.findings import CheckReport, Finding
from services.contracts.manifest import SampleManifest
from services.contracts.records import AssetRecord
from services.contracts.review import FindingState, TaskKind, Verdict
from services.review.authorship import concerned_sha256
from services.review.earlier import Closing, Content, still_closed
from services.rules.rule_set import DEFAULT_RULE_SET
from services.taxonomy.governance import steps_of
from services.taxonomy.migrating import Carrier
from tests.review_cases import REF, SHA256, a_decision, a_finding, a_label, a_revision, a_task

CARRIER = Carrier(AFTER, steps_of((BEFORE, AFTER)))
TASK = a_task(finding_ids=("f-1",))


def content(*labels: Any, taxonomy: str | None = None, assets: tuple[AssetRecord, ...] = (), **changes: Any) -> Content:
    told = a_revision().manifest.model_dump(mode="json", exclude_none=True) | changes
    return Content(SampleManifest.model_validate(told), assets, labels, taxonomy)


def closing(about: Content, finding: Finding | None = None, **changes: Any) -> Closing:
    item = a_finding()
    finding = item.finding if finding is None else finding
    decision = a_decision(TASK, Verdict.ACCEPT_CONFLICT, **changes)
    closed = item.model_copy(
        update={
            "finding": finding,
            "state": FindingState.ACCEPTED,
            "decision_id": decision.decision_id,
            "labels_sha256": concerned_sha256(finding, about.annotations),
        }
    )
    return Closing(closed, decision, about)


def kept(before: Closing, now: Content, finding: Finding | None = None, **changes: Any) -> list[str]:
    found = before.item.finding if finding is None else finding
    report = CheckReport(rule=found.rule, findings=(found,))
    given: dict[str, Any] = {"risk": "low", "rules": DEFAULT_RULE_SET, **changes}
    return [*still_closed(report, (), now, (before,), **given)]


def test_it_names_the_decision_and_the_revision_that_it_was_made_on() -> None:
    before = closing(content(a_label("a1")))
    # What a revision in between has kept closed goes on to rest on the first decision.
    between = before.item.model_copy(
        update={"ref": REF.model_copy(update={"revision": 2}), "decision_revision": REF.revision}
    )
    report = CheckReport(rule=before.item.finding.rule, findings=(before.item.finding,))
    again = Closing(between, before.decision, before.about)
    (told,) = still_closed(report, (), before.about, (again,), risk="low", rules=DEFAULT_RULE_SET).values()
    assert (told.state, told.decision_id, told.revision) == (FindingState.ACCEPTED, before.decision.decision_id, 1)


def test_another_label_of_the_sample_and_another_author_change_nothing() -> None:
    before = closing(content(a_label("a1")))
    assert kept(before, content(a_label("a2", "no"), a_label("a1")))
    assert not kept(before, content(a_label("a1", "no")))
    assert not kept(before, content(a_label("a2")))


def test_it_is_not_closed_by_a_verdict_on_other_labels_than_the_revision_ended_with() -> None:
    before = closing(content(a_label("a1")))
    late = Closing(before.item.model_copy(update={"labels_sha256": SHA256}), before.decision, before.about)
    assert not kept(late, before.about)


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ({"inline": "yes"}, {"inline": "no"}, False),
        ({"uri": "a.txt"}, {"uri": "a.txt"}, True),
        ({"uri": "a.txt"}, {"uri": "b.txt"}, False),
        ({"uri": "a.txt", "sha256": "1" * 64}, {"uri": "b.txt", "sha256": "1" * 64}, True),
        ({"inline": "yes"}, {"inline": "yes", "sensor": "desk-1"}, True),
    ],
)
def test_the_recording_must_be_the_same_wherever_it_lies(
    before: dict[str, Any], after: dict[str, Any], same: bool
) -> None:
    def noted(stream: dict[str, Any]) -> Content:
        return content(a_label("a1"), streams=[{"id": "note", "modality": "text", **stream}])

    assert bool(kept(closing(noted(before)), noted(after))) is same


def test_what_was_read_counts_and_not_its_address() -> None:
    def read(uri: str, digest: str) -> Content:
        asset = AssetRecord(stream="note", uri=uri, sha256=digest * 64, size_bytes=1)
        streams = [{"id": "note", "modality": "text", "uri": uri}]
        return content(a_label("a1"), streams=streams, assets=(asset,))

    before = closing(read("a.txt", "1"))
    assert kept(before, read("b.txt", "1"))
    assert not kept(before, read("a.txt", "2"))


def test_a_finding_that_names_no_label_is_about_what_the_manifest_says_too() -> None:
    named, whole = a_finding().finding, a_finding(annotations=(), streams=()).finding
    elsewhere: dict[str, Any] = {"context": {"region": "eu"}}
    assert kept(closing(content(a_label("a1")), named), content(a_label("a1"), **elsewhere))
    before = closing(content(a_label("a1")), whole)
    assert kept(before, content(a_label("a1"), context={"risk": "medium"}))
    assert not kept(before, content(a_label("a1"), **elsewhere))
    sensor = [{"id": "note", "modality": "text", "inline": "yes", "sensor": "desk-1"}]
    assert not kept(before, content(a_label("a1"), streams=sensor))


def test_a_verdict_that_a_second_one_follows_closes_nothing() -> None:
    about = content(a_label("a1"))
    assert kept(closing(about), about, risk="low")
    assert not kept(closing(about), about, risk="high")
    expert = a_decision(a_task(TaskKind.ADJUDICATE), Verdict.APPROVE, "exa", decision_id=UUID(int=3))
    settled = closing(about)
    assert kept(Closing(settled.item, expert, about), about, risk="high")


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        (("auto", OLD), ("car", NEW), True),
        (("auto", None), ("car", NEW), True),
        (("sign", OLD), ("sign", NEW), True),
        (("sign", None), ("sign", NEW), True),
        (("auto", OLD), ("truck", NEW), False),
        (("truck", OLD), ("truck", NEW), False),  # lorries are trucks now
        (("person", OLD), ("person", OLD), True),
    ],
)
def test_a_renamed_class_is_the_same_and_one_that_was_merged_is_not(
    before: tuple[str, str | None], after: tuple[str, str | None], same: bool
) -> None:
    def called(name: str, version: str | None) -> Any:
        return a_label("a1", name).model_copy(update={"taxonomy_version": version})

    earlier = closing(content(called(*before), taxonomy=OLD))
    assert bool(kept(earlier, content(called(*after)), carrier=CARRIER)) is same


def test_what_the_revision_has_decided_itself_is_not_closed_by_an_earlier_one() -> None:
    about = content(a_label("a1"))
    before = closing(about)
    report = CheckReport(rule=before.item.finding.rule, findings=(before.item.finding,))
    reopened = a_finding().model_copy(update={"ref": REF.model_copy(update={"revision": 2})})
    given: dict[str, Any] = {"risk": "low", "rules": DEFAULT_RULE_SET}
    assert still_closed(report, (reopened,), about, (before,), **given) == {}


def test_what_was_closed_under_the_old_names_stays_closed_in_its_own_revision() -> None:
    def called(name: str, version: str) -> Content:
        return content(a_label("a1", name).model_copy(update={"taxonomy_version": version}))

    then = called("auto", OLD)
    item = closing(then).item
    report = CheckReport(rule=item.finding.rule, findings=(item.finding,))
    given: dict[str, Any] = {"risk": "high", "rules": DEFAULT_RULE_SET, "carrier": CARRIER, "before": then}
    (told,) = still_closed(report, (item,), called("car", NEW), (), **given).values()
    assert (told.state, told.decision_id, told.revision) == (FindingState.ACCEPTED, item.decision_id, None)
    assert still_closed(report, (item,), called("truck", NEW), (), **given) == {}
