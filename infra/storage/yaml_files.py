"""YAML 1.2 that people write, read as values of JSON."""

from __future__ import annotations

import io
from datetime import date, datetime
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent

from infra.storage.given_files import read_given
from services.errors import InvalidInputError

MAX_YAML_BYTES = 4 * 1024 * 1024
_MAX_DEPTH = 60


def is_yaml(path: Path) -> bool:
    """Whether a file is YAML, by its name."""
    return path.suffix in (".yaml", ".yml")


def read_yaml(path: Path) -> Any:
    """Return the YAML in a file as values of JSON.

    Raises:
        InvalidInputError, PayloadTooLargeError: What is wrong, and where.
    """
    raw = read_given(path, MAX_YAML_BYTES)
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
