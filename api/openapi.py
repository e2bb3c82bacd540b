"""The OpenAPI 3.1 document: what FastAPI knows, and the bodies and problems that it does not read itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic.json_schema import models_json_schema

from api.bodies import JSON_TYPE, BodyDocumentation, body_of
from api.policies import PUBLIC, policies_of
from api.problems import MEDIA_TYPE, Problem

DESCRIPTION = """
Concord takes data events in, checks that labels agree across modalities, asks people where they do not, and keeps
what was decided as versioned ground truth.

Every call carries `Authorization: Bearer <API key>`. Every error is a problem document (RFC 9457) with a stable
`type`. Every list is paged by `cursor`. Every unsafe call may carry an `Idempotency-Key` and can then be sent again
without harm.
"""
TAGS = (
    ("events", "Data events in."),
    ("dead letters", "Events that could not be handled, and another try at them."),
    ("projects", "Use cases and their settings."),
    ("rule sets", "Thresholds, tolerances and routing, as versioned data shared by all projects."),
    ("taxonomies", "Classes as versioned documents shared by all projects, and samples that follow them."),
    ("samples", "Where a sample is, what was found, what was decided."),
    ("ground truth", "Committed records and why they are believed."),
    ("datasets", "Versions of committed records that never change, their splits, and what differs between them."),
    ("report", "Nine numbers on a project, each with the list behind it."),
    ("agreement", "How far people agree, by class, person, team and time."),
    ("feedback", "What decisions teach: models, thresholds, what to label next, corrected samples."),
    ("review", "Queues, tasks, leases and decisions."),
    ("queues", "What goes into the queues of a project, and what other queues would do."),
    ("task operations", "Many tasks at once: re-route, re-prioritise, hold, release, assign, take back."),
    ("people", "Reviewers of a project: skills, teams, working hours, caps."),
    ("incidents", "One cause behind findings of many samples, and its fix."),
    ("quality", "Known answers, and how often people are right."),
    ("audit", "The append-only trail and its proof."),
    ("erasure", "Retention, legal holds, and erasure that leaves tombstones."),
    ("notes", "What people say about samples, pinned to a place, and whom they mention."),
    ("search", "By words and filters, over samples, findings, notes, tasks and people."),
    ("webhooks", "Who is told of events over HTTP, and how each delivery went."),
    ("access", "Keys and roles."),
    ("contract", "Published schemas."),
    ("operations", "Throughput, backlog and load of a project, with the list behind every number."),
    ("health", "Health, readiness and metrics."),
)
_PREFIX = "#/components/schemas/"
_ALWAYS = {"500": "A fault of the service.", "503": "A part does not answer; try again."}
_GUARDED = {"401": "No valid API key.", "403": "The key's role or projects do not allow this."}


def build_openapi(app: FastAPI) -> dict[str, Any]:
    """Return the document of an application."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=DESCRIPTION.strip(),
        routes=app.routes,
        tags=[{"name": name, "description": text} for name, text in TAGS],
        separate_input_output_schemas=False,
    )
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    policies = policies_of(app)
    bodies = _bodies(app)
    models = {body.model for body in bodies.values()} | {Problem}
    _, definitions = models_json_schema(
        [(model, "validation") for model in sorted(models, key=lambda model: model.__name__)],
        ref_template=f"{_PREFIX}{{model}}",
    )
    schemas.update({name: schemas.get(name, schema) for name, schema in definitions["$defs"].items()})
    for (method, path), policy in policies.items():
        operation = document["paths"][path].get(method.lower())
        if operation is not None:
            _describe(operation, policy, bodies.get((method, path)))
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return document


def _bodies(app: FastAPI) -> dict[tuple[str, str], BodyDocumentation]:
    found = {}
    for context in iter_route_contexts(app.routes):
        if not isinstance(context.original_route, APIRoute):
            continue
        for call in _calls(context.dependant):
            body = body_of(call)
            if body is not None:
                found.update({(method, str(context.path)): body for method in context.methods or ()})
    return found


def _calls(dependant: Dependant) -> Iterator[Any]:
    for dependency in dependant.dependencies:
        yield dependency.call
        yield from _calls(dependency)


def _describe(operation: dict[str, Any], policy: str, body: BodyDocumentation | None) -> None:
    responses: dict[str, Any] = operation["responses"]
    # FastAPI announces its own error format; ours is the problem document.
    responses.pop("422", None)
    expected = dict(_ALWAYS)
    if policy != PUBLIC:
        expected |= _GUARDED
        operation["x-concord-permission"] = policy
    if operation.get("parameters") or body is not None:
        expected |= {"404": "There is no such thing, or none that the key sees.", "422": "The input is not valid."}
    if body is not None:
        content: dict[str, Any] = {"schema": {"$ref": f"{_PREFIX}{body.model.__name__}"}}
        if body.example is not None:
            content["example"] = body.example
        operation["requestBody"] = {"required": not body.optional, "content": {JSON_TYPE: content}}
        expected |= {
            "400": "The body is not readable JSON.",
            "409": "The state of the world says no.",
            "412": "Somebody else changed it first.",
            "413": "The body is too large.",
            "415": "The content type is not read here.",
        }
    elif any(parameter["name"] == "Idempotency-Key" for parameter in operation.get("parameters", ())):
        expected |= {"409": "The state of the world says no.", "413": "The body is too large."}
    if any(parameter["name"].lower() == "if-match" for parameter in operation.get("parameters", ())):
        expected["412"] = "Somebody else changed it first."
    for status, text in sorted(expected.items()):
        problem = {MEDIA_TYPE: {"schema": {"$ref": f"{_PREFIX}{Problem.__name__}"}}}
        responses.setdefault(status, {"description": text, "content": problem})
