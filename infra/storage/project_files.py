"""Project definitions in files: YAML 1.2 for people, with the rules' bases read and everything in one document."""

from __future__ import annotations

import io
from datetime import date, datetime
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent

from infra.storage.given_files import read_given
from infra.storage.rule_files import read_rules, resolved_rules
from services.contracts.definition import ProjectDefinition
from services.contracts.validation import validate
from services.errors import ConcordError, InvalidInputError
from services.projects.definition import compiled
from services.rules.inheritance import rules_document
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet

MAX_DEFINITION_BYTES = 4 * 1024 * 1024
_MAX_DEPTH = 60


def read_definition(path: Path) -> ProjectDefinition:
    """Return the definition in a file.

    ``rules`` may stand on others as in a rule set's file, ``extends: vehicles``; its ``id`` and ``version`` are left
    out, since they follow from the project. ``taxonomy`` is one, or the name of a file beside this one that holds it.

    Raises:
        InvalidInputError, PayloadTooLargeError: What is wrong, and where.
    """
    document = _read_yaml(path)
    if not isinstance(document, dict):
        raise InvalidInputError(f"{path}: a project definition is a mapping; begin it with `format: concord.project/1`")
    document = _with_whole_rules(document, path)
    try:
        return validate(ProjectDefinition, document, what="project definition")
    except ConcordError as error:
        raise type(error)(f"{path}: {error.detail}", places=error.places) from error


def rules_from(reference: str | Path) -> RuleSet:
    """Return the rule set in a file, the built-in one of that name, or the one that a project's definition makes.

    Raises:
        InvalidInputError, MalformedJsonError, PayloadTooLargeError: What is wrong, in which file, and where.
    """
    path = Path(reference)
    return compiled(read_definition(path), None, 0).rules if path.suffix in (".yaml", ".yml") else read_rules(reference)


def _with_whole_rules(document: dict[str, Any], path: Path) -> dict[str, Any]:
    """Put the rules' bases, and the taxonomy that stands beside them, into the rules."""
    document = dict(document)
    taxonomy, rules = document.pop("taxonomy", None), document.get("rules")
    if taxonomy is None and not isinstance(rules, dict):
        return document
    if rules is not None and not isinstance(rules, dict):
        return document  # for the contract to refuse
    for name in ("id", "version"):
        if name in (rules or {}):
            sentence = "follows from the project; leave it out"
            raise InvalidInputError(f"{path}: /rules/{name} {sentence}", places=((f"/rules/{name}", sentence),))
    named = {"extends": DEFAULT_RULE_SET.id, **(rules or {}), "id": str(document.get("id") or "project"), "version": 1}
    whole = resolved_rules(named, path).model_dump(mode="json", exclude_none=True)
    if taxonomy is not None:
        found = _read_yaml(path.parent / taxonomy) if isinstance(taxonomy, str) else taxonomy
        whole["taxonomy_conformance"] = {**whole.get("taxonomy_conformance", {}), "taxonomy": found}
    return {**document, "rules": whole}


def _read_yaml(path: Path) -> Any:
    raw = read_given(path, MAX_DEFINITION_BYTES)
    yaml = YAML(typ="safe", pure=True)
    try:
        _refuse_bombs(yaml, raw, path)
        return _plain(yaml.load(io.BytesIO(raw)))
    except MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark is not None else ""
        raise InvalidInputError(f"{path}: {line}{error.problem or error.context or 'is no YAML'}") from error
    except (YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInputError(f"{path} is no YAML: {str(error).splitlines()[0][:300]}") from error


def _refuse_bombs(yaml: YAML, raw: bytes, path: Path) -> None:
    """Refuse what is short and takes gigabytes, or hours: aliases, and nesting that no person writes."""
    depth = 0
    for event in yaml.parse(io.BytesIO(raw)):
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if isinstance(event, AliasEvent) or depth > _MAX_DEPTH:
            what = f"nested more than {_MAX_DEPTH} deep" if depth > _MAX_DEPTH else "aliases are not taken"
            raise InvalidInputError(f"{path}: line {event.start_mark.line + 1}: {what}; write out what is meant")


def _plain(value: Any) -> Any:
    """Return YAML values as those of JSON; what YAML reads as a date is the text that stood there."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, date | datetime) else value


def definition_yaml(definition: ProjectDefinition) -> str:
    """Return a definition as YAML, without what has its default; read again it is the same definition."""
    document = definition.model_dump(mode="json", exclude_defaults=True, exclude={"rules"})
    whole: dict[str, Any] = {"format": definition.format, **document}
    if definition.rules is not None:
        whole["rules"] = rules_document(definition.rules)
    stream = io.StringIO()
    yaml = YAML(pure=True)
    yaml.default_flow_style = False
    yaml.width = 110
    yaml.dump(whole, stream)
    return stream.getvalue()
