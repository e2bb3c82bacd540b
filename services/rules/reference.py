"""Every field of a rule set as a page for people, made of the models themselves."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from services.rules.rule_set import RuleSet

_LONGEST = 60


def rules_reference() -> str:
    """Return a Markdown chapter: one table a model, in the order in which the rule set refers to them."""
    parts = []
    for model in _models(RuleSet, {}):
        title = "rule set" if model is RuleSet else model.__name__
        parts.append(f"### {title}\n\n{_about(model)}\n")
        lines = ["| field | type | default | meaning |", "| --- | --- | --- | --- |"]
        schema = model.model_json_schema(mode="validation")
        for name, field in model.model_fields.items():
            shape = _shape(schema["properties"][name])
            cells = (f"`{name}`", shape, _default(field), field.description or "")
            lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _models(model: type[BaseModel], seen: dict[type[BaseModel], None]) -> list[type[BaseModel]]:
    if model not in seen:
        seen[model] = None
        for field in model.model_fields.values():
            for inner in _inside(field.annotation):
                _models(inner, seen)
    return list(seen)


def _inside(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not typing.get_args(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _inside(part)


def _about(model: type[BaseModel]) -> str:
    return (inspect.getdoc(model) or "").split("\nAttributes:")[0].strip()


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "see below"
    text = json.dumps(_plain(value), ensure_ascii=False)
    return f"`{text}`" if len(text) <= _LONGEST else f"{len(value)} entries"


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _shape(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "enum" in schema:
        values = [str(value) for value in schema["enum"]]
        return ", ".join(values) if len(values) <= 6 else f"one of {', '.join(values)}"
    if "const" in schema:
        return f"`{schema['const']}`"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_shape(part) for part in schema["anyOf"]))
    kind = schema.get("type", "any")
    if kind == "array":
        if "prefixItems" in schema:
            return f"[{', '.join(_shape(part) for part in schema['prefixItems'])}]"
        return f"list of {_shape(schema.get('items', {}))}"
    if kind == "object":
        keys = schema.get("propertyNames", {})
        named = f"{_shape(keys)} " if "enum" in keys else ""
        inner = schema.get("additionalProperties")
        return f"object {named}to {_shape(inner)}" if isinstance(inner, dict) and inner else "object"
    return f"{kind}{_bounds(schema)}"


def _bounds(schema: dict[str, Any]) -> str:
    words = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
    limits = [f"{sign} {schema[name]:g}" for name, sign in words if name in schema]
    return f" {', '.join(limits)}" if limits else ""
