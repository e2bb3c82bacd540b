"""Project definitions in files: YAML 1.2 for people, with the rules' bases read and everything in one document."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from infra.storage.rule_files import read_rules, resolved_rules
from infra.storage.yaml_files import is_yaml, read_yaml
from services.contracts.definition import ProjectDefinition
from services.contracts.validation import validate
from services.errors import ConcordError, InvalidInputError
from services.projects.definition import compiled
from services.rules.inheritance import rules_document
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet


def read_definition(path: Path) -> ProjectDefinition:
    """Return the definition in a file.

    ``rules`` may stand on others as in a rule set's file, ``extends: vehicles``; its ``id`` and ``version`` are left
    out, since they follow from the project. ``taxonomy`` is one, or the name of a file beside this one that holds it.

    Raises:
        InvalidInputError, PayloadTooLargeError: What is wrong, and where.
    """
    document = read_yaml(path)
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
    return compiled(read_definition(path), None, 0).rules if is_yaml(path) else read_rules(reference)


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
        found = read_yaml(path.parent / taxonomy) if isinstance(taxonomy, str) else taxonomy
        whole["taxonomy_conformance"] = {**whole.get("taxonomy_conformance", {}), "taxonomy": found}
    return {**document, "rules": whole}


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
