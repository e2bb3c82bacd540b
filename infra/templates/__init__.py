"""Ready projects for the domains the product serves: a definition, a taxonomy, and an example with one disagreement."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from services.contracts.base import ProjectId
from services.errors import InvalidInputError
from services.rules.domains import DOMAINS as TEMPLATES

__all__ = ["FILES", "TEMPLATES", "write_template"]

FILES = ("project.yaml", "taxonomy.yaml", "example/agreeing.json", "example/disagreeing.json")
_PROJECT = "@project@"
_PROJECT_ID = TypeAdapter[str](ProjectId)


def write_template(template: str, folder: Path, project: str) -> tuple[Path, ...]:
    """Write the files of a template for a project, and return their paths.

    Raises:
        InvalidInputError: There is no such template, the id is none, or a file is there already; nothing is written.
    """
    if template not in TEMPLATES:
        raise InvalidInputError(f"there is no template {template[:100]!r}; there are {', '.join(TEMPLATES)}")
    try:
        _PROJECT_ID.validate_python(project)
    except ValidationError as error:
        raise InvalidInputError(
            f"a project id is lower-case letters, digits, - and _, at most 64; got {project[:100]!r}"
        ) from error
    paths = tuple(folder / name for name in FILES)
    for path in paths:
        if path.exists():
            raise InvalidInputError(f"{path} is there already; name another folder")
    source = resources.files(__name__).joinpath(template)
    try:
        for name, path in zip(FILES, paths, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            text = source.joinpath(*name.split("/")).read_text(encoding="utf-8")
            path.write_text(text.replace(_PROJECT, project), encoding="utf-8")
    except OSError as error:
        raise InvalidInputError(f"{folder} can not be written: {error.strerror}") from error
    return paths
