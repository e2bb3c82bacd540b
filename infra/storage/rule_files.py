"""Rule sets in files and by name, whole: what they extend is read too."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from infra.storage.given_files import read_json
from services.contracts.canonical import parse_json
from services.errors import InvalidInputError
from services.rules.domains import DOMAINS
from services.rules.inheritance import resolve_rules
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet

BUILT_IN = (DEFAULT_RULE_SET.id, *DOMAINS)
"""Names of the rule sets that come with the product."""


def built_in_rules(name: str) -> RuleSet:
    """Return a rule set that comes with the product.

    Raises:
        KeyError: There is none of this name.
    """
    if name not in BUILT_IN:
        raise KeyError(name)
    return DEFAULT_RULE_SET if name == DEFAULT_RULE_SET.id else resolve_rules(_domain(name), name=name, read=_base)


def read_rules(reference: str | Path) -> RuleSet:
    """Return the rule set in a file, or the built-in one of that name, with everything it extends.

    A path in ``extends`` is relative to the file that says it. Built-in names go first: write ``./retail`` for a file.

    Raises:
        InvalidInputError, MalformedJsonError, PayloadTooLargeError: What is wrong, in which file, and where.
    """
    if str(reference) in BUILT_IN:
        return built_in_rules(str(reference))
    path = Path(reference).resolve()
    return resolve_rules(read_json(path), name=str(path), read=_base)


def resolved_rules(document: Any, path: Path) -> RuleSet:
    """Return the rule set that stands in another file's document, with everything it extends.

    Raises:
        InvalidInputError, MalformedJsonError, PayloadTooLargeError: What is wrong, in which file, and where.
    """
    return resolve_rules(document, name=str(path.resolve()), read=_base)


def _base(wanted: str, by: str) -> tuple[str, Any]:
    if wanted in DOMAINS:
        return wanted, _domain(wanted)
    path = (Path(by).parent / wanted).resolve()
    if not _exists(path):
        names = ", ".join(BUILT_IN)
        sentence = f"{wanted!r} is neither a file ({path}) nor one of {names}"
        raise InvalidInputError(f"{by}: /extends: {sentence}", places=(("/extends", sentence),))
    return str(path), read_json(path)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that this file system can not have
        return False


def _domain(name: str) -> Any:
    return parse_json(resources.files("services.rules.domains").joinpath(f"{name}.json").read_bytes())
