import json

import pytest
from typer.testing import CliRunner

from infra.cli.main import app

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]


def test_the_pipeline_is_measured_against_bare_workflows_with_as_many_activities() -> None:
    given = ["bench", "pipeline", "--samples", "4", "--rounds", "1", "--no-durable", "--json"]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    measured = json.loads(result.stdout)
    assert measured["activities_per_sample"] == 3
    assert measured["actions_per_sample"] <= 4
    assert measured["ratio"] == pytest.approx(measured["samples_per_s"][0] / measured["bare_per_s"][0], rel=0.05)


def test_an_activation_does_to_stored_samples_what_the_dry_run_said() -> None:
    given = ["bench", "rule-activation", "--samples", "50", "--no-durable", "--json"]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    proof = json.loads(result.stdout)
    assert proof["differing"] == []
    assert all(item["said"] == item["done"] for item in proof["compared"])
    counts = proof["dry_run"]
    assert min(counts["appear"], counts["disappear"], counts["severity_changed"], counts["escalations_after"]) > 0
    assert proof["decided"] == 4
