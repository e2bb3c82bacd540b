"""From a project's definition to what is stored, and back: pure functions.

A definition is compiled to three things that the product knows already: the project with its configuration, a whole
rule set, and queues. Required streams become one requirement of the check ``coverage``, required context goes into
``context_gate``; what is asked of a sample is so judged where everything else is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from services.contracts.canonical import content_sha256
from services.contracts.definition import DefinitionChange, ProjectDefinition, RequiredContext
from services.contracts.queues import ReviewQueue
from services.contracts.records import Project, ProjectConfig, ProjectSettings
from services.rules.context_gate import ContextGateRules
from services.rules.coverage import CoverageRules, SampleRequirement
from services.rules.inheritance import content_of_rules
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet

USE_CASE = "use case"
"""Name of the requirement that a definition's streams become."""


@dataclass(frozen=True, slots=True)
class ProjectState:
    """What a project is: the stored project, the rule set it goes by, and its own queues."""

    project: Project
    rules: RuleSet
    queues: tuple[ReviewQueue, ...]


def compiled(definition: ProjectDefinition, now: ProjectState | None, newest: int) -> ProjectState:
    """Return what a definition makes of a project.

    Args:
        definition: The definition.
        now: What the project is; None if it is not there yet.
        newest: The newest version of the rule set named after the project, 0 if there is none. Rules that say the
            same as those the project goes by keep their id and version; others are the next version.
    """
    rules = _rules_of(definition)
    if now is not None and content_of_rules(rules) == content_of_rules(now.rules):
        rules = now.rules
    elif content_of_rules(rules) == content_of_rules(DEFAULT_RULE_SET):
        rules = DEFAULT_RULE_SET
    else:
        rules = rules.model_copy(update={"id": definition.id, "version": newest + 1})
    project = Project(
        id=definition.id,
        name=definition.name,
        purpose=definition.purpose,
        decision=definition.decision,
        domain=definition.domain,
        config=ProjectConfig(**_fields(definition.settings), rule_set=rules.reference),
    )
    return ProjectState(project, rules, _ordered(definition.queues))


def _rules_of(definition: ProjectDefinition) -> RuleSet:
    rules = definition.rules or DEFAULT_RULE_SET
    update: dict[str, object] = {}
    if definition.streams:
        section = rules.coverage or CoverageRules()
        own = SampleRequirement(name=USE_CASE, streams=definition.streams)
        others = tuple(item for item in section.requirements if item.name != USE_CASE)
        update["coverage"] = section.model_copy(update={"requirements": (own, *others)})
    wanted = definition.context
    if wanted != RequiredContext():
        gate = rules.context_gate
        update["context_gate"] = gate.model_copy(
            update={
                "required": tuple(dict.fromkeys((*gate.required, *wanted.required))),
                "allowed": {**gate.allowed, **wanted.allowed},
            }
        )
    return rules.model_copy(update=update)


def _ordered(queues: Sequence[ReviewQueue]) -> tuple[ReviewQueue, ...]:
    return tuple(sorted(queues, key=lambda queue: (queue.position, queue.name)))


def definition_of(state: ProjectState) -> ProjectDefinition:
    """Return the definition that makes a project what it is; compiled again it changes nothing."""
    rules, section, gate = state.rules, state.rules.coverage, state.rules.context_gate
    streams = section.requirements[0].streams if section is not None and section.requirements else ()
    update: dict[str, object] = {}
    # Somebody may have changed the requirement by hand: then it is no longer what a definition's streams make.
    if section is not None and streams and section.requirements[0] == SampleRequirement(name=USE_CASE, streams=streams):
        update["coverage"] = section.model_copy(update={"requirements": section.requirements[1:]})
    else:
        streams = ()
    context = RequiredContext(required=gate.required, allowed=gate.allowed)
    update["context_gate"] = gate.model_copy(
        update={name: ContextGateRules.model_fields[name].get_default(call_default_factory=True)
                for name in ("required", "allowed")}
    )  # fmt: skip
    rest = rules.model_copy(update=update)
    return ProjectDefinition(
        id=state.project.id,
        name=state.project.name,
        purpose=state.project.purpose,
        decision=state.project.decision,
        domain=state.project.domain,
        streams=streams,
        context=context,
        rules=None if content_of_rules(rest) == content_of_rules(DEFAULT_RULE_SET) else rest,
        settings=ProjectSettings(**_fields(state.project.config)),
        queues=_ordered(state.queues),
    )


def _fields(settings: ProjectSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in ProjectSettings.model_fields}


def state_sha256(state: ProjectState | None) -> str:
    """Return what tells one state of a project from another."""
    return content_sha256(None if state is None else document_of(state))


def document_of(state: ProjectState) -> dict[str, Any]:
    """Return a state as one JSON document in which changes have a place: queues and streams by their names."""
    project = state.project.model_dump(mode="json")
    config = project.pop("config")
    config.pop("rule_set")
    return {
        **project,
        "settings": config,
        "rules": content_of_rules(state.rules),
        "queues": {queue.name: queue.model_dump(mode="json") for queue in state.queues},
    }


def changes(now: ProjectState | None, wanted: ProjectState) -> tuple[DefinitionChange, ...]:
    """Return every difference, by place; a project that is not there yet is one addition, and its queues are others."""
    before = document_of(now) if now is not None else {"queues": {}}
    return tuple(_differences("", before, document_of(wanted)))


def _differences(path: str, before: Any, after: Any) -> Iterator[DefinitionChange]:
    if not (isinstance(before, dict) and isinstance(after, dict)):
        if before != after:
            yield DefinitionChange(action="change", path=path[:2_000], before=before, after=after)
        return
    for key in sorted({*before, *after}):
        place = f"{path}/{str(key).replace('~', '~0').replace('/', '~1')}"
        if key not in before:
            yield DefinitionChange(action="add", path=place[:2_000], after=after[key])
        elif key not in after:
            yield DefinitionChange(action="remove", path=place[:2_000], before=before[key])
        else:
            yield from _differences(place, before[key], after[key])
