"""What follows from an answer that can be held against something: scores, pauses, skills. In the same transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from services.contracts.access import SYSTEM_ACTOR
from services.contracts.calibration import (
    PAUSED,
    EarnedSkill,
    Figures,
    GoldPolicy,
    PersonPause,
    PersonPaused,
    ProbeAnswer,
    ScoredAnswer,
    paused_event_id,
)
from services.contracts.lifecycle import RevisionRef
from services.contracts.quality import GoldAnswer
from services.contracts.review import JUDGING_KINDS, Decision, TaskKind
from services.ports.database import Transaction
from services.projects.registry import rules_of
from services.quality.labelling import LABELS, ScoredLabel, is_labelling, score_labels
from services.quality.probes import past_of
from services.quality.scoring import JudgedSample, Scored, score_sample
from services.quality.standing import earned_level, figures_of, is_below_bar
from services.rules.consensus import ConsensusRules

_PAUSED_BY = JUDGING_KINDS | {TaskKind.ANNOTATE}
PausePlace = tuple[str, str, str, TaskKind]
"""Where a person is paused: project, person, queue and kind."""


async def note_answer(tx: Transaction, decision: Decision, *, of_probe: bool) -> None:
    """Score a decision that was just taken, and what it says of earlier ones; pause people and grant skills by it.

    What follows from a person's own known answers comes with their next decision on something else: right after one, it
    would tell them which it was. There is nothing to do where a project neither mixes in known answers nor has skills
    earned (:attr:`services.review.case_file.CaseFile.scored`).
    """
    project = await tx.projects.get(decision.ref.project)
    answer = await tx.probes.answer_of(decision.task_id) if of_probe else None
    if project is None or (answer is None and project.config.gold is None and not project.config.earned_skills):
        return
    if answer is not None and answer.probe.purpose == "second_opinion":
        await _compare(tx, answer)
        return
    known = await tx.quality.gold(project.id, (decision.ref.sample_id,))
    gold = known[decision.ref.sample_id].answer if known else None
    if answer is not None:
        await _score_probe(tx, answer, gold)
        return
    scores = await _score_sample(tx, decision.ref, gold)
    concerned = {score.actor_id for score in scores} | {decision.actor_id}
    if gold is not None:
        concerned.remove(decision.actor_id)
    # In one order, so that nobody waits for somebody who waits for them.
    for actor_id in sorted(concerned):
        await tx.calibration.lock_person(project.id, actor_id)
        await judge_skills(tx, project.id, actor_id, project.config.earned_skills)
    if gold is None and project.config.gold is not None and decision.task_kind in _PAUSED_BY:
        await _pause_below_bar(tx, project.config.gold, decision)


async def score_again(tx: Transaction, project: str, sample_id: str) -> None:
    """Score all answers about a sample by the known answer that it has now. Pauses stay as they are."""
    known = await tx.quality.gold(project, (sample_id,))
    gold = known[sample_id].answer if known else None
    newest = await tx.samples.newest(project, sample_id)
    if newest is not None:
        await _score_sample(tx, newest, gold)
    for answer in await tx.probes.answers_about(project, sample_id):
        await _score_probe(tx, answer, gold)


async def judged_revisions(
    tx: Transaction, newest: RevisionRef, gold: GoldAnswer | None, *, first: int = 1
) -> tuple[JudgedSample, ...]:
    """Return the verdicts on each revision of a sample with what they are held against, the newest revision first.

    Args:
        tx: The transaction.
        newest: The newest revision.
        gold: The known answer, if there is one.
        first: The oldest revision to return.
    """
    found: list[JudgedSample] = []
    for revision in range(newest.revision, first - 1, -1):
        ref = newest.model_copy(update={"revision": revision})
        found.append(await _judged_revision(tx, ref, gold, later=tuple(reversed(found))))
    return tuple(found)


async def _judged_revision(
    tx: Transaction, ref: RevisionRef, gold: GoldAnswer | None, later: tuple[JudgedSample, ...]
) -> JudgedSample:
    decisions = await tx.review.decisions(ref)
    if not decisions:
        return JudgedSample(findings={}, decisions=(), labels={}, gold=gold)
    return JudgedSample(
        findings={item.finding.finding_id: item.finding for item in await tx.review.findings(ref)},
        decisions=decisions,
        labels={
            labels.version: labels.annotations
            for labels in await tx.samples.label_sets(ref)
            if labels.origin != "prediction"
        },
        gold=gold,
        later=later,
    )


async def judged_probe(tx: Transaction, answer: ProbeAnswer, gold: GoldAnswer | None) -> JudgedSample:
    """Return the answer to a probe with what it is held against; without a known answer that is nothing."""
    past = await past_of(tx, answer.probe)
    decision = answer.decision
    labels = {item.version: item.annotations for item in past.label_sets}
    return JudgedSample(
        findings={item.finding.finding_id: item.finding for item in past.findings},
        decisions=() if gold is None else (decision,),
        labels=labels | {decision.label_version_after: answer.labels_after},
        gold=gold,
    )


async def _score_sample(tx: Transaction, newest: RevisionRef, gold: GoldAnswer | None) -> tuple[ScoredAnswer, ...]:
    """Score the verdicts on all revisions: what is said of the newest may overturn what was said of earlier ones."""
    found: list[ScoredAnswer] = []
    rules = await _consensus_rules(tx, newest.project, gold)
    for sample in await judged_revisions(tx, newest, gold):
        judged = [one for one in sample.decisions if one.task_kind in JUDGING_KINDS or is_labelling(one)]
        if judged:
            queues = {task.task_id: task.queue for task in await tx.review.tasks_of(judged[0].ref)}
            scores = _scores(sample, rules, queues)
            await tx.calibration.put_scores([decision.decision_id for decision in judged], scores)
            found += scores
    return tuple(found)


async def _consensus_rules(tx: Transaction, project: str, gold: GoldAnswer | None) -> ConsensusRules | None:
    """Return a project's thresholds for people who agree, where a known answer needs them to be held against labels."""
    return (await rules_of(tx, project)).consensus if gold is not None and gold.tells_labels else None


async def _score_probe(tx: Transaction, answer: ProbeAnswer, gold: GoldAnswer | None) -> tuple[ScoredAnswer, ...]:
    sample = await judged_probe(tx, answer, gold)
    rules = await _consensus_rules(tx, answer.probe.ref.project, gold)
    scores = _scores(sample, rules, {answer.decision.task_id: answer.probe.queue})
    await tx.calibration.put_scores((answer.decision.decision_id,), scores)
    return scores


def _scores(sample: JudgedSample, rules: ConsensusRules | None, queues: Mapping[UUID, str]) -> tuple[ScoredAnswer, ...]:
    return (
        *(_score(one, queues[one.decision.task_id]) for one in score_sample(sample)),
        *(_score_label(one, queues[one.decision.task_id]) for one in score_labels(sample, rules)),
    )


def _score_label(one: ScoredLabel, queue: str) -> ScoredAnswer:
    decision = one.decision
    return ScoredAnswer(
        project=decision.ref.project,
        decision_id=decision.decision_id,
        finding_id=one.name,
        task_id=decision.task_id,
        actor_id=decision.actor_id,
        queue=queue,
        kind=decision.task_kind,
        check=LABELS,
        finding_kind=one.kind,
        labels=(one.label,),
        reference="gold",
        right=one.right,
        decided_at=decision.decided_at,
    )


def _score(one: Scored, queue: str) -> ScoredAnswer:
    decision = one.decision
    return ScoredAnswer(
        project=decision.ref.project,
        decision_id=decision.decision_id,
        finding_id=one.finding.finding_id,
        task_id=decision.task_id,
        actor_id=decision.actor_id,
        queue=queue,
        kind=decision.task_kind,
        check=one.finding.check,
        finding_kind=one.finding.kind,
        labels=one.classes,
        reference=one.reference,
        right=one.right,
        decided_at=decision.decided_at,
    )


async def known_answers_of(
    tx: Transaction, policy: GoldPolicy, place: PausePlace, now: datetime, counted_from: datetime | None
) -> Figures:
    """Return how a person did on the known answers of a place that still say something about the bar.

    Args:
        tx: The transaction.
        policy: How far back answers count.
        place: Project, person, queue and kind.
        now: The moment.
        counted_from: What :meth:`services.ports.calibration.CalibrationRepository.pause_state` says.
    """
    since = now - timedelta(days=policy.window_days)
    if counted_from is not None:
        since = max(since, counted_from)
    least = policy.labels_right if place[3] is TaskKind.ANNOTATE else 1.0
    return figures_of(*await tx.calibration.gold_answers(*place, since, least=least))


async def _pause_below_bar(tx: Transaction, policy: GoldPolicy, decision: Decision) -> None:
    task = await tx.review.task(decision.task_id)
    if task is None:
        return
    project, actor_id = decision.ref.project, decision.actor_id
    place = (project, actor_id, task.queue, task.kind)
    paused, counted_from = await tx.calibration.pause_state(*place)
    if paused:
        return
    now = await tx.now()
    figures = await known_answers_of(tx, policy, place, now, counted_from)
    if not is_below_bar(figures, policy):
        return
    pause = PersonPause(
        project=project,
        actor_id=actor_id,
        queue=task.queue,
        kind=task.kind,
        figures=figures,
        bar=policy.bar,
        paused_at=now,
    )
    await tx.people.ensure(project, actor_id)
    await tx.calibration.put_pause(pause)
    released = await tx.probes.release_all(*place)
    tx.audit.append(
        project,
        actor=SYSTEM_ACTOR,
        action="reviewer.paused",
        subject=f"reviewers/{actor_id}",
        body={
            "queue": task.queue,
            "kind": task.kind.value,
            "figures": figures.model_dump(mode="json"),
            "bar": policy.bar,
            "released": released,
        },
    )
    told = PersonPaused(**pause.model_dump())
    await tx.outbox.add_about(
        project,
        f"reviewers/{actor_id}",
        told.model_dump(mode="json", exclude_none=True),
        event_type=PAUSED,
        event_id=paused_event_id(told),
    )


async def judge_skills(tx: Transaction, project: str, actor_id: str, rules: tuple[EarnedSkill, ...]) -> None:
    """Give and take the skills that a person's answers earn now; the caller holds the person's lock."""
    known = await tx.people.get(project, actor_id)
    held = {grant.name: grant.level for grant in (known.skills if known else ()) if grant.source == "measured"}
    of_skill: dict[str, list[tuple[EarnedSkill, Figures]]] = defaultdict(list)
    now = await tx.now()
    for rule in rules:
        since = now - timedelta(days=rule.window_days)
        of_skill[rule.skill].append(
            (rule, figures_of(*await tx.calibration.answers_for(project, actor_id, rule, since)))
        )
    for skill in sorted({*held, *of_skill}):
        before = held.get(skill, 0)
        level, figures = earned_level(before, of_skill[skill])
        if level == before:
            continue
        if figures is None:
            await tx.people.forget_measured(project, actor_id, skill)
        else:
            await tx.people.measure_skill(project, actor_id, skill, level, figures, set_by=SYSTEM_ACTOR)
        counted = figures or next((seen for _, seen in of_skill[skill]), None)
        tx.audit.append(
            project,
            actor=SYSTEM_ACTOR,
            action="reviewer.skill_earned" if level > before else "reviewer.skill_lost",
            subject=f"reviewers/{actor_id}",
            body={
                "skill": skill,
                "level": level,
                "before": before,
                "figures": None if counted is None else counted.model_dump(mode="json"),
            },
        )


async def _compare(tx: Transaction, answer: ProbeAnswer) -> None:
    first = await tx.review.decision_of_task(answer.probe.source_task_id)
    if first is None:
        return
    second = answer.decision
    agreed = all(first.verdict_on(name) is second.verdict_on(name) for name in first.finding_ids)
    await tx.probes.note_agreement(second.task_id, agreed=agreed)
