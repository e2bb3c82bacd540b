from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.contracts.access import Principal, Role
from services.contracts.deadlines import WorkingCalendar, WorkingHours
from services.contracts.manifest import Context
from services.contracts.people import Reviewer, ReviewerProfile, SkillGrant
from services.contracts.queues import Lane, QueueFilter, RequiredSkill, ReviewQueue
from services.contracts.review import TaskFacts, TaskKind, Verdict
from services.review.fitting import cap_reached, is_full, levels_of, skills_asked, why_not
from services.review.hours import at_work, next_at_work, told_hours
from services.review.queueing import (
    Place,
    default_queues,
    facts_of_sample,
    fits,
    listed_queues,
    place_of,
    taking_queue,
)
from services.review.routing import follow_up, route
from services.rules.rule_set import DEFAULT_RULE_SET
from tests.review_cases import a_decision, a_finding, a_label_set, a_revision, a_task, human

FACTS = TaskFacts(
    check="lidar_camera", finding_kind="low_overlap", severity="major", domain="driving", language="de", region="eu"
)
AT = datetime(2026, 3, 2, 12, tzinfo=UTC)  # a Monday


def queue(name: str, **settings: Any) -> ReviewQueue:
    return ReviewQueue(name=name, **settings)


@pytest.mark.parametrize(
    ("wanted", "takes"),
    [
        ({}, True),
        ({"stages": ("in_review",)}, True),
        ({"stages": ("adjudicating", "rework")}, False),
        ({"checks": ("clock", "lidar_camera")}, True),
        ({"checks": ("clock",)}, False),
        ({"kinds": ("low_overlap",), "risks": ("high",)}, False),
        ({"min_severity": "major"}, True),
        ({"min_severity": "critical"}, False),
        ({"domains": ("driving",), "languages": ("de",), "regions": ("eu",)}, True),
        ({"domains": ("driving",), "languages": ("fr",)}, False),
        ({"regions": ("us",)}, False),
    ],
)
def test_all_members_of_a_filter_must_hold(wanted: dict[str, Any], takes: bool) -> None:
    assert fits(QueueFilter(**wanted), TaskKind.REVIEW, "low", FACTS) is takes


def test_what_a_task_does_not_have_fits_only_an_empty_list() -> None:
    bare = TaskFacts()
    assert fits(QueueFilter(), TaskKind.ANNOTATE, "low", bare)
    for wanted in ({"checks": ("x",)}, {"min_severity": "info"}, {"regions": ("eu",)}, {"languages": ("de",)}):
        assert not fits(QueueFilter.model_validate(wanted), TaskKind.ANNOTATE, "low", bare)


def test_first_queue_by_position_then_name_takes_the_task() -> None:
    everything = QueueFilter()
    queues = [queue("b", filter=everything), queue("a", filter=everything), queue("z", filter=everything, position=1)]
    taken = taking_queue(queues, TaskKind.REVIEW, "low", FACTS)
    assert taken is not None
    assert taken.name == "z"
    taken = taking_queue(queues[:2], TaskKind.REVIEW, "low", FACTS)
    assert taken is not None
    assert taken.name == "a"
    assert taking_queue([queue("by-name")], TaskKind.REVIEW, "low", FACTS) is None


def test_without_queues_the_rule_set_decides_as_ever() -> None:
    rules = DEFAULT_RULE_SET
    assert place_of(TaskKind.REVIEW, "low", FACTS, rules, ()) == Place("spatial", "spatial", 200)
    assert place_of(TaskKind.ADJUDICATE, "low", FACTS, rules, ()) == Place("spatial.expert", "spatial", 200)
    assert place_of(TaskKind.REVIEW, "low", TaskFacts(check="unknown"), rules, ()) == Place("general", None, 100)
    assert place_of(TaskKind.ANNOTATE, "low", TaskFacts(), rules, ()) == Place("annotate")
    assert place_of(TaskKind.REWORK, "low", FACTS, rules, ()) == Place("rework")


def test_a_queue_that_takes_a_task_gives_its_priority_or_leaves_the_rules() -> None:
    takes = QueueFilter(checks=("lidar_camera",))
    high, same = queue("high", filter=takes, base_priority=900), queue("same", filter=takes)
    assert place_of(TaskKind.REVIEW, "low", FACTS, DEFAULT_RULE_SET, [high]) == Place("high", None, 900)
    assert place_of(TaskKind.REVIEW, "low", FACTS, DEFAULT_RULE_SET, [same]) == Place("same", None, 200)
    assert place_of(TaskKind.REWORK, "low", FACTS, DEFAULT_RULE_SET, [same]) == Place("same")


def test_listed_are_own_queues_then_the_rule_sets_then_those_of_tasks_each_once() -> None:
    own = [queue("spatial"), queue("mine", position=1)]
    listed = listed_queues(DEFAULT_RULE_SET, own, ("mine", "general", "by-hand"))
    names = [item.queue.name for item in listed]
    assert names[:2] == ["mine", "spatial"]
    assert names[-1] == "by-hand"
    assert len(names) == len(set(names))
    assert {item.name for item in default_queues(DEFAULT_RULE_SET)} <= set(names)
    assert [listed[index].source for index in (0, 2, -1)] == ["project", "rule_set", "tasks"]


def test_findings_of_one_sample_go_to_the_queues_that_take_them_in() -> None:
    careful = queue("careful", filter=QueueFilter(min_severity="critical"), base_priority=700)
    tasks = route(
        [a_finding("f-1", severity="critical"), a_finding("f-2"), a_finding("f-3", severity="critical")],
        DEFAULT_RULE_SET, a_revision(), (), (), max_review_rounds=3, queues=[careful], domain="calls",
    )  # fmt: skip
    by_queue = {task.queue: task for task in tasks}
    assert set(by_queue) == {"careful", "general"}
    assert by_queue["careful"].finding_ids == ("f-1", "f-3")
    assert by_queue["careful"].priority == 700
    assert by_queue["careful"].facts.severity == "critical"
    assert by_queue["general"].facts == TaskFacts(
        check="wording", finding_kind="wrong_word", severity="major", domain="calls"
    )


def test_a_follow_up_goes_to_the_queue_that_takes_it_in() -> None:
    task = a_task(facts=FACTS, skill="spatial")
    decision = a_decision(task, Verdict.ESCALATE)
    judges = queue("judges", filter=QueueFilter(stages=("adjudicating",)))
    values: dict[str, Any] = {
        "findings": (), "folded": (), "label_sets": (a_label_set(1, human("ann")),), "decisions": (decision,),
        "may_rework": lambda person: True,
    }  # fmt: skip
    taken = follow_up(decision, TaskKind.ADJUDICATE, task, queues=[judges], **values)
    usual = follow_up(decision, TaskKind.ADJUDICATE, task, **values)
    assert (taken.queue, taken.skill, taken.facts) == ("judges", None, FACTS)
    assert (usual.queue, usual.skill) == ("words.expert", "spatial")


def test_domain_and_language_are_attributes_of_the_sample_and_the_project_fills_in_the_domain() -> None:
    told = Context(region="eu", attributes={"domain": "rail", "language": "fr"})
    assert facts_of_sample(told, "driving") == TaskFacts(domain="rail", language="fr", region="eu")
    odd = Context(attributes={"domain": 3, "language": ""})
    assert facts_of_sample(odd, "driving") == TaskFacts(domain="driving")


# People


def lane(**changes: Any) -> Lane:
    values: dict[str, Any] = {
        "lane_id": 1, "project": "p", "queue": "spatial", "kind": TaskKind.REVIEW, "skill": None, "skills": (),
        "teams": (), "ageing_per_hour": 0.0, "capacity": None, "paused": False, "claimed": 0, "mine": 0,
        "mine_in_project": 0, "lease_s": 900,
    }  # fmt: skip
    return Lane(**values | changes)


def person(*skills: str) -> Principal:
    return Principal(actor_id="rita", key_id="k", role=Role.REVIEWER, projects=None, skills=skills)


def reviewer(*grants: tuple[str, int, str], **profile: Any) -> Reviewer:
    return Reviewer(
        profile=ReviewerProfile(actor_id="rita", **profile),
        skills=tuple(
            SkillGrant.model_validate({"name": n, "level": level, "source": s, "set_by": "olga", "set_at": AT})
            for n, level, s in grants
        ),
    )


def test_the_highest_level_of_key_grant_and_measure_counts() -> None:
    known = reviewer(("spatial", 2, "granted"), ("spatial", 4, "measured"), ("speech", 1, "granted"))
    assert levels_of(person("text", "speech"), known) == {"text": 1, "speech": 1, "spatial": 4}
    assert levels_of(person("text"), None) == {"text": 1}


def test_skill_and_team_keep_people_out_with_the_reason() -> None:
    asks = lane(skill="speech", skills=(RequiredSkill(name="spatial", level=3),), teams=("night",))
    assert skills_asked(asks) == 2
    assert "'speech'" in str(why_not(asks, person(), None))
    assert "'spatial' at level 3" in str(why_not(asks, person("speech", "spatial"), None))
    able = reviewer(("spatial", 3, "granted"), teams=("day",))
    assert "for the teams night" in str(why_not(asks, person("speech"), able))
    fitting = reviewer(("spatial", 3, "granted"), teams=("day", "night"))
    assert why_not(asks, person("speech"), fitting) is None
    assert skills_asked(lane(skill="spatial", skills=(RequiredSkill(name="spatial", level=2),))) == 1


def test_caps_of_person_and_queue() -> None:
    capped = reviewer(max_claims=3, max_claims_of_queue={"spatial": 1})
    assert cap_reached(lane(mine_in_project=2), capped) is None
    assert "3 of at most 3" in str(cap_reached(lane(mine_in_project=3), capped))
    assert "1 of at most 1 tasks of queue 'spatial'" in str(cap_reached(lane(mine=1, mine_in_project=1), capped))
    assert cap_reached(lane(mine=1, mine_in_project=1, queue="other"), capped) is None
    assert cap_reached(lane(mine_in_project=99), None) is None
    assert is_full(lane(capacity=2, claimed=2))
    assert not is_full(lane(capacity=2, claimed=1))


def test_hours_say_when_a_person_is_at_work_next() -> None:
    profile = ReviewerProfile(
        actor_id="rita",
        calendar=WorkingCalendar(
            time_zone="Europe/Berlin",
            hours=(
                WorkingHours(day="mon", opens="08:00", closes="16:30"),
                WorkingHours(day="wed", opens="22:00", closes="24:00"),
            ),
        ),
    )
    assert at_work(profile, AT)
    assert next_at_work(profile, AT) == AT
    evening = AT + timedelta(hours=4)
    assert not at_work(profile, evening)
    assert next_at_work(profile, evening) == datetime(2026, 3, 4, 21, tzinfo=UTC)
    assert told_hours(profile) == "mon 08:00-16:30, wed 22:00-24:00 (Europe/Berlin)"
    anytime = ReviewerProfile(actor_id="rita")
    assert at_work(anytime, evening)
    assert told_hours(anytime) == "at any time"
