"""Rule sets that stand on others: ``extends`` names the base, the rest of the document is what differs.

How a document changes its base:

* an object is merged field by field, at any depth;
* any other value, a list too, takes the place of the base's;
* ``"+field": […]`` puts entries before those of the base's list ``field``: rules that are tried in order, such as
  ``routing``, are so overruled and not lost;
* ``null`` takes back what the base says: the field has the product's own default again, and a check that may be left
  out is not asked for;
* ``id``, ``version`` and ``description`` are never inherited: findings name the rule set they were found with.

The merging is that of RFC 7396 (JSON Merge Patch), with the one addition for lists. What comes out is a whole rule set
without ``extends``; only whole ones are stored and run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services.contracts.validation import validate
from services.errors import ConcordError, InvalidInputError
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet

EXTENDS = "extends"
MAX_DEPTH = 20
_OWN = ("id", "version", "description")

Document = dict[str, Any]
ReadBase = Callable[[str, str], tuple[str, Any]]
"""From (what ``extends`` says, name of the document that says it) to the base's (name, parsed JSON)."""


def resolve_rules(document: Any, *, name: str, read: ReadBase) -> RuleSet:
    """Return the whole rule set of a document.

    Args:
        document: Parsed JSON.
        name: How to name the document in errors: its file.
        read: Reads a base; ``default`` is the product's own rule set and is never asked for.

    Raises:
        InvalidInputError: A document of the chain is not valid (its name and every place are given), extends itself,
            or stands on too many others.
    """
    return _resolve(document, name, read, ())


def _resolve(document: Any, name: str, read: ReadBase, chain: tuple[str, ...]) -> RuleSet:
    if name in chain:
        circle = " -> ".join((*chain[chain.index(name) :], name))
        raise _at_extends(chain[-1], f"the rule sets extend each other in a circle: {circle}")
    if len(chain) >= MAX_DEPTH:
        raise _at_extends(chain[-1], f"more than {MAX_DEPTH} rule sets stand on each other")
    if not isinstance(document, dict) or EXTENDS not in document:
        return _validated(document, name)
    wanted = document[EXTENDS]
    if not isinstance(wanted, str) or not wanted:
        raise _at_extends(name, "must be the name of a built-in rule set or the path of a file")
    if wanted == DEFAULT_RULE_SET.id:
        base = DEFAULT_RULE_SET
    else:
        base_name, base_document = read(wanted, name)
        base = _resolve(base_document, base_name, read, (*chain, name))
    changes = {key: value for key, value in document.items() if key != EXTENDS}
    return _validated(merge(content_of_rules(base), changes), name)


def merge(base: Document, changes: Document) -> Document:
    """Return ``base`` with ``changes``; neither is altered.

    A change of something that ``base`` does not have is kept as it is, for the contract to judge.
    """
    result = dict(base)
    for key, value in changes.items():
        # A list that is null has no entries yet.
        listed = (base[key[1:]] or []) if key.startswith("+") and key[1:] in base else None
        if value is None and key in base:
            del result[key]
        elif isinstance(listed, list) and isinstance(value, list):
            result[key[1:]] = [*value, *listed]
        elif isinstance(value, dict) and isinstance(base.get(key), dict):
            result[key] = merge(base[key], value)
        else:
            result[key] = value
    return result


def changes_between(base: Document, wanted: Document) -> Document:
    """Return the least document that :func:`merge` makes ``wanted`` of ``base`` with; lists are given whole."""
    changed: Document = {key: None for key, value in base.items() if value is not None and wanted.get(key) is None}
    for key, value in wanted.items():
        own = base.get(key)
        if value is None or own == value:
            continue
        changed[key] = changes_between(own, value) if isinstance(own, dict) and isinstance(value, dict) else value
    return changed


def content_of_rules(rules: RuleSet) -> Document:
    """Return what a rule set says, without what it is called."""
    return rules.model_dump(mode="json", exclude=set(_OWN))


def rules_document(rules: RuleSet) -> Document:
    """Return what a rule set changes of the product's own, without what it is called."""
    return {
        EXTENDS: DEFAULT_RULE_SET.id,
        **changes_between(content_of_rules(DEFAULT_RULE_SET), content_of_rules(rules)),
    }


def _validated(document: Any, name: str) -> RuleSet:
    try:
        return validate(RuleSet, document, what="rule set")
    except ConcordError as error:
        raise type(error)(f"{name}: {error.detail}", places=error.places) from error


def _at_extends(name: str, sentence: str) -> InvalidInputError:
    return InvalidInputError(f"{name}: /{EXTENDS}: {sentence}", places=((f"/{EXTENDS}", sentence),))
