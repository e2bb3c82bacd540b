"""The HTTP application: routers, the frame around every request, and no route without a policy."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from api.metrics import RequestMetrics
from api.middleware import BodyCap, RequestFrame
from api.openapi import build_openapi
from api.policies import policies_of
from api.problems import register_problem_handlers
from api.routers import (
    access,
    active_time,
    agreement,
    audit,
    datasets,
    dead_letters,
    definitions,
    dependents,
    erasure,
    events,
    feedback,
    health,
    incidents,
    notes,
    operations,
    people,
    projects,
    quality,
    queues,
    report,
    review,
    rule_changes,
    samples,
    schemas,
    search,
    task_operations,
    taxonomies,
    taxonomy_migrations,
    webhooks,
)
from api.services import ApiServices

API_VERSION = "1"
_ROUTERS = (
    events.router,
    dead_letters.router,
    projects.router,
    definitions.router,
    rule_changes.router,
    taxonomies.router,
    taxonomy_migrations.router,
    samples.router,
    dependents.router,
    report.router,
    agreement.router,
    feedback.router,
    datasets.router,
    audit.router,
    erasure.router,
    review.router,
    queues.router,
    task_operations.router,
    people.router,
    incidents.router,
    quality.router,
    access.router,
    notes.router,
    search.router,
    webhooks.router,
    schemas.router,
    operations.router,
    active_time.router,
    health.router,
)


class ConcordApi(FastAPI):
    """FastAPI with the document of :mod:`api.openapi`."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document, built at the first call."""
        if self.openapi_schema is None:
            self.openapi_schema = build_openapi(self)
        return self.openapi_schema


def create_app(services: ApiServices) -> FastAPI:
    """Return the application.

    Args:
        services: The ports and use-cases its routes call; whoever opened them closes them.

    Raises:
        MissingPolicyError: A route does not say who may call it.
    """
    app = ConcordApi(
        title="Concord",
        version=API_VERSION,
        # The document has a route of its own, with a policy like any other.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
    )
    app.state.services = services
    app.state.metrics = RequestMetrics()
    for router in _ROUTERS:
        app.include_router(router)
    register_problem_handlers(app)
    # The last one added is the outermost.
    app.add_middleware(BodyCap, max_bytes=services.body_max_bytes)
    app.add_middleware(RequestFrame, metrics=app.state.metrics)
    policies_of(app)
    return app
