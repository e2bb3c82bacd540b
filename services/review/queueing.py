"""Which queue a task goes to: the project's queues first, then the rule set's routing. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.contracts.escalation import EXPERT_TIER, EscalationTarget
from services.contracts.findings import SEVERITY_ORDER, Finding
from services.contracts.manifest import Context, Risk
from services.contracts.queues import STAGE_OF_KIND, ListedQueue, QueueFilter, ReviewQueue
from services.contracts.review import ReviewTask, TaskFacts, TaskKind
from services.rules.rule_set import RoutingRule, RuleSet

ANNOTATE_QUEUE = "annotate"
REWORK_QUEUE = "rework"
_EXPERT_SUFFIX = f".{EXPERT_TIER}"
_QUEUE_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Place:
    """Where a task goes.

    Attributes:
        queue: The queue.
        skill: What its routing rule asks for; what the queue itself asks for is not here.
        priority: What it is given there; None where neither queue nor rule says so.
    """

    queue: str
    skill: str | None = None
    priority: int | None = None


def tier_queue(queue: str, tier: str) -> str:
    """Return the name of the queue in which a tier decides what came from ``queue``, or from its experts."""
    if queue.endswith(f".{tier}"):
        return queue
    return f"{queue.removesuffix(_EXPERT_SUFFIX)[: _QUEUE_LENGTH - len(tier) - 1]}.{tier}"


def expert_queue(queue: str) -> str:
    """Return the name of the queue in which experts decide what came from ``queue``."""
    return tier_queue(queue, EXPERT_TIER)


def next_tier(task: ReviewTask, tiers_above_experts: Sequence[str]) -> EscalationTarget | None:
    """Return the tier above a task's: a review's experts, then the tiers above them; None at the top.

    Labelling has no tiers: it waits for its annotators.
    """
    if task.kind is TaskKind.REVIEW:
        return EscalationTarget()
    if task.kind is not TaskKind.ADJUDICATE:
        return None
    to = EscalationTarget() if task.caused_by is None else task.caused_by.to
    _, tier = _base_and_tier(task.queue, tiers_above_experts)
    now = tier or to.tier
    above = (
        tiers_above_experts[tiers_above_experts.index(now) + 1 :] if now in tiers_above_experts else tiers_above_experts
    )
    return EscalationTarget(tier=above[0], skill=to.skill) if above else None


def place_in_tier(
    task: ReviewTask, to: EscalationTarget, queues: Iterable[ReviewQueue], tiers_above_experts: Sequence[str]
) -> Place:
    """Return where a task goes that a higher tier is to decide: as if it were opened for that tier now.

    Args:
        task: A review or an adjudication.
        to: From :func:`next_tier`.
        queues: The project's queues, which are asked first.
        tiers_above_experts: The project's tiers.
    """
    base, _ = _base_and_tier(task.queue, tiers_above_experts)
    taken = taking_queue(queues, TaskKind.ADJUDICATE, task.risk, task.facts)
    queue, skill = expert_place(base, task.skill, to, taken)
    return Place(queue, skill)


def _base_and_tier(queue: str, tiers_above_experts: Sequence[str]) -> tuple[str, str | None]:
    """Return the name of a queue without its tier above the experts, and that tier; None if it is of none."""
    base, _, tier = queue.rpartition(".")
    return (base, tier) if base and tier in tiers_above_experts else (queue, None)


def expert_place(
    queue: str, skill: str | None, to: EscalationTarget, taken: ReviewQueue | None
) -> tuple[str, str | None]:
    """Return the queue of an adjudication, and the skill that is asked of who takes it there.

    Args:
        queue: Where the same would be reviewed.
        skill: What is asked of who reviews it there.
        to: What the escalation rule says.
        taken: The project's queue that takes it in, if any.
    """
    if taken is None:
        return to.queue or tier_queue(queue, to.tier), to.skill or skill
    return taken.name if to.tier == EXPERT_TIER else tier_queue(taken.name, to.tier), to.skill


def facts_of_sample(context: Context, project_domain: str) -> TaskFacts:
    """Return what queues can ask about a sample before anything is found in it.

    Args:
        context: The sample's context.
        project_domain: The domain of a sample that tells none.
    """
    domain, language = context.attributes.get("domain"), context.attributes.get("language")
    return TaskFacts(
        domain=domain if isinstance(domain, str) and domain else project_domain,
        language=language if isinstance(language, str) and language else None,
        region=context.region,
    )


def facts_of_finding(finding: Finding, sample: TaskFacts) -> TaskFacts:
    """Return what queues can ask about a finding in a sample."""
    return sample.model_copy(
        update={"check": finding.check, "finding_kind": finding.kind, "severity": finding.severity}
    )


def matching_rule(facts: TaskFacts, risk: Risk, rules: RuleSet) -> RoutingRule:
    """Return the first routing rule that fits, or one for the default queue."""
    severity = SEVERITY_ORDER[facts.severity or "info"]
    for rule in rules.routing:
        if (
            (not rule.checks or facts.check in rule.checks)
            and (not rule.kinds or facts.finding_kind in rule.kinds)
            and (not rule.risks or risk in rule.risks)
            and severity >= SEVERITY_ORDER[rule.min_severity]
        ):
            return rule
    return RoutingRule(queue=rules.default_queue)


def fits(wanted: QueueFilter, kind: TaskKind, risk: Risk, facts: TaskFacts) -> bool:
    """Whether a filter takes in a task of these facts."""
    severe = wanted.min_severity is None or (
        facts.severity is not None and SEVERITY_ORDER[facts.severity] >= SEVERITY_ORDER[wanted.min_severity]
    )
    asked: tuple[tuple[Sequence[str], str | None], ...] = (
        (wanted.stages, STAGE_OF_KIND[kind]),
        (wanted.checks, facts.check),
        (wanted.kinds, facts.finding_kind),
        (wanted.risks, risk),
        (wanted.domains, facts.domain),
        (wanted.languages, facts.language),
        (wanted.regions, facts.region),
    )
    return severe and all(not values or value in values for values, value in asked)


def taking_queue(queues: Iterable[ReviewQueue], kind: TaskKind, risk: Risk, facts: TaskFacts) -> ReviewQueue | None:
    """Return the first queue, by position and name, whose filter takes a task in; None if none does."""
    for queue in sorted(queues, key=lambda queue: (queue.position, queue.name)):
        if queue.filter is not None and fits(queue.filter, kind, risk, facts):
            return queue
    return None


def place_of(
    kind: TaskKind,
    risk: Risk,
    facts: TaskFacts,
    rules: RuleSet,
    queues: Iterable[ReviewQueue],
    to: EscalationTarget | None = None,
) -> Place:
    """Return where a task of these facts goes: to the queue that takes it in, else where the rule set sends it.

    Args:
        kind: What it asks for.
        risk: Of its sample.
        facts: What it is about.
        rules: The rule set.
        queues: The project's queues.
        to: What an escalation rule says, for an adjudication; None: the experts.
    """
    taken = taking_queue(queues, kind, risk, facts)
    if kind in (TaskKind.ANNOTATE, TaskKind.REWORK):
        usual = ANNOTATE_QUEUE if kind is TaskKind.ANNOTATE else REWORK_QUEUE
        return Place(usual) if taken is None else Place(taken.name, priority=taken.base_priority)
    rule = matching_rule(facts, risk, rules)
    priority = rule.priority if taken is None or taken.base_priority is None else taken.base_priority
    if kind is TaskKind.ADJUDICATE:
        queue, skill = expert_place(rule.queue, rule.skill, to or EscalationTarget(), taken)
        return Place(queue, skill, priority)
    return Place(rule.queue, rule.skill, priority) if taken is None else Place(taken.name, priority=priority)


def place_of_task(task: ReviewTask, rules: RuleSet, queues: Iterable[ReviewQueue]) -> Place:
    """Return where a task would go if it were opened now."""
    to = None if task.caused_by is None else task.caused_by.to
    return place_of(task.kind, task.risk, task.facts, rules, queues, to)


def default_queues(rules: RuleSet) -> tuple[ReviewQueue, ...]:
    """Return the queues that a rule set has by itself, those of its routing first, then those of its tiers."""
    named = [*(rule.queue for rule in rules.routing), rules.default_queue]
    targets = [rule.to for rule in rules.escalation_rules]
    tiers = [tier_queue(queue, tier) for tier in dict.fromkeys(to.tier for to in targets) for queue in named]
    names = [*named, *tiers, *(to.queue for to in targets if to.queue), ANNOTATE_QUEUE, REWORK_QUEUE]
    return tuple(ReviewQueue(name=name) for name in dict.fromkeys(names))


def listed_queues(rules: RuleSet, queues: Iterable[ReviewQueue], used: Iterable[str] = ()) -> tuple[ListedQueue, ...]:
    """Return a project's own queues, then those of its rule set, then those that tasks are in without either.

    Args:
        rules: The rule set.
        queues: The project's queues.
        used: Names of queues in which tasks are or were.
    """
    own = sorted(queues, key=lambda queue: (queue.position, queue.name))
    known = {queue.name for queue in own}
    by_rules = [queue for queue in default_queues(rules) if queue.name not in known]
    known.update(queue.name for queue in by_rules)
    return (
        *(ListedQueue(queue=queue, source="project") for queue in own),
        *(ListedQueue(queue=queue, source="rule_set") for queue in by_rules),
        *(ListedQueue(queue=ReviewQueue(name=name), source="tasks") for name in sorted(set(used) - known)),
    )
