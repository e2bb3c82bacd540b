"""Requests generated from the OpenAPI document: no fault, and every answer as the document says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api_thread import ApiThread

EXAMPLES = 12
CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)


@pytest.fixture
def server(database_url: str) -> Iterator[ApiThread]:
    with ApiThread(database_url) as running:
        yield running


@pytest.mark.parametrize("role", ["admin", "reviewer"])
def test_generated_requests_find_no_fault(server: ApiThread, role: str) -> None:
    schema = schemathesis.openapi.from_dict(server.document)
    failures = []
    tried = 0
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        if operation.path == "/v1/events":
            continue  # its document is CloudEvents' own; the intake's tests try it
        if operation.path.endswith("/live"):
            continue  # it streams for as long as it is asked to; the operations' tests read it

        @settings(
            max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
            phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        def run(case: Any) -> None:
            case.call_and_validate(
                base_url=server.url, headers={"Authorization": f"Bearer {server.secrets[role]}"}, checks=CHECKS
            )

        try:
            given(case=operation.as_strategy())(run)()
        except (Exception, BaseExceptionGroup) as error:
            failures.append(f"{operation.method} {operation.path}: {error}")
        tried += 1
    assert not failures, "\n\n".join(failures)
    assert tried > 30
