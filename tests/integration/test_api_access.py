"""Who gets what from every route: every role, with an own project, another one, and ids that name nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from api.policies import PUBLIC, policies_of
from infra.db.engine import PostgresDatabase
from services.access.policy import Permission, may
from services.contracts.access import Role
from services.contracts.review import TaskKind
from tests.review_world import OTHER, OWN, ApiWorld, add_projects, add_sample, open_client, open_task, problem_code

Target = tuple[str, str]
"""(method, path) with an id of one world in it."""

EVERYWHERE = {
    ("GET", "/v1/dead-letters"),
    ("POST", "/v1/dead-letters/{dead_letter_id}/replay"),
    ("POST", "/v1/events"),
    ("GET", "/v1/projects"),
    ("POST", "/v1/projects"),
    ("GET", "/v1/rule-sets"),
    ("POST", "/v1/rule-sets"),
    ("GET", "/v1/rule-sets/{rule_set_id}/{version}"),
    ("GET", "/v1/rule-sets/{rule_set_id}/owners"),
    ("PUT", "/v1/rule-sets/{rule_set_id}/owners"),
    ("GET", "/v1/taxonomies"),
    ("POST", "/v1/taxonomies"),
    ("GET", "/v1/taxonomies/{taxonomy_id}/draft"),
    ("PUT", "/v1/taxonomies/{taxonomy_id}/draft"),
    ("DELETE", "/v1/taxonomies/{taxonomy_id}/draft"),
    ("POST", "/v1/taxonomies/{taxonomy_id}/draft/publish"),
    ("GET", "/v1/taxonomies/{taxonomy_id}/{version}"),
    ("GET", "/v1/taxonomies/{taxonomy_id}/{version}/diff"),
    ("GET", "/v1/queues"),
    ("GET", "/v1/tasks"),
    ("POST", "/v1/tasks/claim"),
    ("GET", "/v1/keys"),
    ("POST", "/v1/keys"),
    ("DELETE", "/v1/keys/{key_id}"),
    ("GET", "/v1/whoami"),
    ("GET", "/v1/mentions"),
    ("GET", "/v1/search"),
    # It streams for as long as it is read, to whoever may; the operations' own tests read it.
    ("GET", "/v1/projects/{project}/operations/live"),
}
"""Guarded routes that belong to no project."""

_NO_INCIDENT = "11111111-1111-4111-8111-111111111111"
_READS = ("", "/timeline", "/labels", "/findings", "/lineage", "/ground-truth")


@pytest.fixture
async def world(database: PostgresDatabase) -> AsyncIterator[ApiWorld]:
    await add_projects(database)
    async with open_client(database) as http:
        made = ApiWorld(database, http)
        await made.key("root", Role.ADMIN)
        for role in Role:
            await made.key(role.value, role, OWN)
        yield made


def _targets(project: str, sample: str, task: str) -> list[tuple[str, str, str]]:
    """(method, path, route template) of everything that lies in a project."""
    base = f"/v1/projects/{project}"
    of_sample = [
        ("GET", f"{base}/samples/{sample}{part}", f"/v1/projects/{{project}}/samples/{{sample_id}}{part}")
        for part in _READS
    ]
    of_project = [
        (method, f"{base}{part}", f"/v1/projects/{{project}}{part}")
        for method, part in (
            ("GET", ""), ("PUT", ""), ("GET", "/samples"), ("GET", "/report"), ("GET", "/agreement"),
            ("GET", "/ground-truth"), ("GET", "/audit"), ("POST", "/verify"), ("GET", "/queues"),
            ("POST", "/routing-preview"), ("GET", "/task-operations"), ("POST", "/task-operations"),
            ("POST", "/task-operations/preview"), ("GET", "/reviewers"),
            ("GET", "/operations"), ("GET", "/operations/samples"), ("GET", "/operations/tasks"),
            ("GET", "/operations/decisions"), ("GET", "/operations/activity"),
            ("GET", "/operations/active-time/people"), ("GET", "/operations/active-time/tasks"),
            ("GET", "/incidents"), ("GET", "/quality"), ("GET", "/gold"),
            ("GET", "/audit/head"), ("GET", "/erasures"), ("POST", "/erasures"), ("POST", "/erasures/preview"),
            ("GET", "/legal-holds"), ("POST", "/legal-holds"), ("GET", "/feedback/models"),
            ("GET", "/feedback/thresholds"), ("GET", "/feedback/next"), ("GET", "/feedback/corrections"),
        )
    ]  # fmt: skip
    of_queue = [
        (method, f"{base}/queues/spatial{part}", f"/v1/projects/{{project}}/queues/{{queue}}{part}")
        for method, part in (("GET", ""), ("PUT", ""), ("POST", "/pause"), ("POST", "/resume"), ("DELETE", ""))
    ]
    of_operation = [
        (
            method,
            f"{base}/task-operations/{uuid4()}{part}",
            f"/v1/projects/{{project}}/task-operations/{{operation_id}}{part}",
        )
        for method, part in (("GET", ""), ("GET", "/items"), ("POST", "/undo"))
    ]
    of_person = [
        (method, f"{base}/reviewers/rita", "/v1/projects/{project}/reviewers/{actor_id}")
        for method in ("PUT", "GET", "DELETE")
    ]
    of_person.append(("POST", f"{base}/reviewers/rita/resume", "/v1/projects/{project}/reviewers/{actor_id}/resume"))
    of_project += [
        (method, f"{base}/gold/{sample}", "/v1/projects/{project}/gold/{sample_id}") for method in ("PUT", "DELETE")
    ]
    of_project += [
        ("GET", f"{base}/dependents{part}?kind=person&key=rex", f"/v1/projects/{{project}}/dependents{part}")
        for part in ("", "/summary", "/dataset-versions")
    ]
    window = "committed_since=2026-03-01T00:00:00Z&committed_before=2026-03-02T00:00:00Z"
    of_project += [
        ("GET", f"{base}/operations/labels?{window}", "/v1/projects/{project}/operations/labels"),
        ("GET", f"{base}/quality/annotators", "/v1/projects/{project}/quality/annotators"),
        ("POST", f"{base}/quality/annotators/learn", "/v1/projects/{project}/quality/annotators/learn"),
    ]
    of_project += [
        (method, f"{base}/definition{part}", f"/v1/projects/{{project}}/definition{part}")
        for method, part in (("GET", ""), ("PUT", ""), ("POST", "/plan"), ("POST", "/revert"), ("GET", "s"))
    ]
    of_project += [
        ("POST", f"{base}/rule-sets/{part}", f"/v1/projects/{{project}}/rule-sets/{part}")
        for part in ("dry-run", "activate", "schedule")
    ]
    activations = "/v1/projects/{project}/rule-sets/activations"
    of_project += [
        ("GET", f"{base}/rule-sets/activations", activations),
        ("POST", f"{base}/rule-sets/activations/{_NO_INCIDENT}/cancel", f"{activations}/{{activation_id}}/cancel"),
    ]
    of_erasure = [
        ("GET", f"{base}/erasures/{_NO_INCIDENT}", "/v1/projects/{project}/erasures/{erasure_id}"),
        ("POST", f"{base}/erasures/{_NO_INCIDENT}/apply", "/v1/projects/{project}/erasures/{erasure_id}/apply"),
        ("POST", f"{base}/legal-holds/{_NO_INCIDENT}/release", "/v1/projects/{project}/legal-holds/{hold_id}/release"),
        ("GET", f"{base}/samples/{sample}/tombstone", "/v1/projects/{project}/samples/{sample_id}/tombstone"),
    ]
    # A stream, which is to end at once.
    live = ("GET", f"{base}/operations/live?for_s=0", "/v1/projects/{project}/operations/live")
    of_incident = [
        (method, f"{base}/incidents/{_NO_INCIDENT}{part}", f"/v1/projects/{{project}}/incidents/{{incident_id}}{part}")
        for method, part in (("GET", ""), ("GET", "/samples"), ("POST", "/fix"), ("POST", "/dismiss"))
    ]
    of_migration = [
        ("GET", f"{base}/taxonomy-migrations", "/v1/projects/{project}/taxonomy-migrations"),
        ("POST", f"{base}/taxonomy-migrations", "/v1/projects/{project}/taxonomy-migrations"),
        (
            "GET",
            f"{base}/taxonomy-migrations/preview?target=av@1",
            "/v1/projects/{project}/taxonomy-migrations/preview",
        ),
        *(
            (
                method,
                f"{base}/taxonomy-migrations/{_NO_INCIDENT}{part}",
                f"/v1/projects/{{project}}/taxonomy-migrations/{{migration_id}}{part}",
            )
            for method, part in (("GET", ""), ("POST", "/pause"), ("POST", "/resume"), ("POST", "/cancel"))
        ),
    ]
    of_task = [
        (method, f"/v1/tasks/{task}{part}", f"/v1/tasks/{{task_id}}{part}")
        for method, part in (
            ("GET", ""), ("POST", "/claim"), ("POST", "/heartbeat"), ("POST", "/release"), ("PUT", "/draft"),
            ("POST", "/decide"), ("POST", "/escalate"),
        )
    ]  # fmt: skip
    webhook, delivery = f"{base}/webhooks/{task}", f"{base}/webhooks/{task}/deliveries/{task}"
    of_webhooks = [
        (method, path, f"/v1/projects/{{project}}{template}")
        for method, path, template in (
            ("GET", f"{base}/webhooks", "/webhooks"),
            ("POST", f"{base}/webhooks", "/webhooks"),
            ("GET", webhook, "/webhooks/{endpoint_id}"),
            ("PUT", webhook, "/webhooks/{endpoint_id}"),
            *(
                (method, f"{webhook}{part}", f"/webhooks/{{endpoint_id}}{part}")
                for method, part in (
                    ("POST", "/rotate"), ("POST", "/disable"), ("POST", "/enable"), ("POST", "/ping"),
                    ("POST", "/redeliver"), ("GET", "/deliveries"),
                )
            ),
            ("GET", delivery, "/webhooks/{endpoint_id}/deliveries/{delivery_id}"),
            ("POST", f"{delivery}/redeliver", "/webhooks/{endpoint_id}/deliveries/{delivery_id}/redeliver"),
        )
    ]  # fmt: skip
    notes, note = f"{base}/samples/{sample}/notes", "/v1/projects/{project}/samples/{sample_id}/notes"
    of_notes = [
        ("GET", notes, note),
        ("POST", notes, note),
        *((method, f"{notes}/{task}", f"{note}/{{note_id}}") for method in ("GET", "PUT", "DELETE")),
        ("GET", f"{notes}/{task}/history", f"{note}/{{note_id}}/history"),
    ]
    datasets, version = f"{base}/datasets", f"{base}/datasets/signs/versions/1"
    of_datasets = [
        (method, path, f"/v1/projects/{{project}}{template}")
        for method, path, template in (
            ("POST", datasets, "/datasets"),
            ("GET", datasets, "/datasets"),
            ("GET", f"{datasets}/signs", "/datasets/{dataset}"),
            ("POST", f"{datasets}/signs/versions", "/datasets/{dataset}/versions"),
            ("GET", f"{datasets}/signs/versions", "/datasets/{dataset}/versions"),
            ("GET", f"{datasets}/signs/diff?from=1&to=2", "/datasets/{dataset}/diff"),
            ("GET", f"{datasets}/signs/diff/summary?from=1&to=2", "/datasets/{dataset}/diff/summary"),
            ("GET", version, "/datasets/{dataset}/versions/{version}"),
            ("GET", f"{version}/members", "/datasets/{dataset}/versions/{version}/members"),
            ("GET", f"{version}/records", "/datasets/{dataset}/versions/{version}/records"),
            ("GET", f"{version}/export", "/datasets/{dataset}/versions/{version}/export"),
            (
                "GET",
                f"{version}/members/{sample}/proof",
                "/datasets/{dataset}/versions/{version}/members/{sample_id}/proof",
            ),
            ("GET", f"{base}/samples/{sample}/datasets", "/samples/{sample_id}/datasets"),
        )
    ]
    whole = [*of_sample, *of_project, live, *of_queue, *of_operation, *of_person, *of_incident, *of_migration, *of_task]
    return [*whole, *of_erasure, *of_notes, *of_webhooks, *of_datasets]


def _body(method: str, template: str, project: str) -> dict[str, object] | None:
    if method == "PUT" and template == "/v1/projects/{project}":
        return {"id": project, "name": "renamed"}
    if method == "PUT" and template.endswith("/queues/{queue}"):
        return {"name": "spatial"}
    if method == "PUT" and template.endswith("/reviewers/{actor_id}"):
        return {"actor_id": "rita"}
    if template.endswith("/reviewers/{actor_id}/resume"):
        return {"queue": "spatial"}
    change: dict[str, object] = {"filter": {}, "change": {"action": "hold", "reason": "why"}}
    if method == "PUT" and template.endswith("/gold/{sample_id}"):
        return {"sample_id": "s1", "verdict": "approve"}
    subject: dict[str, object] = {"kind": "samples", "sample_ids": ["s-none"]}
    if method == "POST" and template.endswith("/erasures/preview"):
        return {"subject": subject}
    bodies: dict[str, dict[str, object]] = {
        "/definition": {"id": project, "name": "renamed"},
        "/dry-run": {"rule_set": {"id": "gone", "version": 1}},
        "/activate": {"rule_set": {"id": "gone", "version": 1}},
        "/schedule": {"rule_set": {"id": "gone", "version": 1}, "effective_at": "2999-01-01T00:00:00Z"},
        "/plan": {"id": project, "name": "renamed"},
        "/revert": {"version": 1},
        "/erasures": {"subject": subject, "reason": "why"},
        "/legal-holds": {"reason": "why"},
        "/routing-preview": {"queues": []},
        "/task-operations": change,
        "/preview": change,
        "/draft": {"fence": 1, "body": {}},
        "/decide": {"fence": 1, "verdict": "approve"},
        "/escalate": {"fence": 1, "note": "why"},
        "/heartbeat": {"fence": 1},
        "/release": {"fence": 1},
        "/verify": {},
        "/webhooks": {"url": "https://hooks.example/"},
        "/notes": {"body": "x"},
        "/datasets": {"name": "signs"},
        "/versions": {},
        "/{note_id}": {"body": "x"},
        "/{endpoint_id}": {"url": "https://hooks.example/"},
        "/redeliver": {"since": "2026-03-01T00:00:00Z"},
        "/taxonomy-migrations": {"target": "av@1"},
        "/fix": {},
        "/dismiss": {"reason_code": "not_a_fault"},
    }
    return bodies.get(template[template.rfind("/") :]) if method != "GET" else None


async def test_every_route_for_every_role_in_own_foreign_and_missing_projects(world: ApiWorld) -> None:
    own, other = await add_sample(world.database, "s1"), await add_sample(world.database, "s1", project=OTHER)
    tasks = {OWN: await open_task(world.database, own), OTHER: await open_task(world.database, other)}
    app = world.http._transport.app  # type: ignore[attr-defined]
    policies = policies_of(app)
    covered = set()
    answers: dict[tuple[str, str, str], list[str]] = {}
    places = {
        "own": _targets(OWN, "s1", str(tasks[OWN].task_id)),
        "other": _targets(OTHER, "s1", str(tasks[OTHER].task_id)),
        "missing": _targets("nowhere", "s1", str(uuid4())),
    }
    for role in Role:
        for place, targets in places.items():
            for method, path, template in targets:
                covered.add((method, template))
                permission = Permission(policies[method, template])
                response = await world.call(role.value, method, path, _body(method, template, path.split("/")[3]))
                assert response.status_code < 500, (role, method, path, response.text)
                if not may(role, permission):
                    assert (response.status_code, problem_code(response)) == (403, "forbidden"), (role, method, path)
                elif place != "own":
                    assert (response.status_code, problem_code(response)) == (404, "not-found"), (role, method, path)
                    shown = str(response.json()["detail"]).replace(OTHER, "X").replace("nowhere", "X")
                    for task_id in (str(tasks[OTHER].task_id), path.split("/")[3]):
                        shown = shown.replace(task_id, "X")
                    answers.setdefault((role.value, method, template), []).append(shown)
                else:
                    assert response.status_code != 401
    # What is foreign and what is not there read alike, word for word.
    assert all(len(set(texts)) == 1 for texts in answers.values()), answers
    guarded = {route for route, policy in policies.items() if policy != PUBLIC}
    assert guarded == covered | EVERYWHERE, "a new route must be tried here"
    for role in Role:
        for method, template in sorted(EVERYWHERE):
            path = template.replace("{rule_set_id}/{version}", "default/1").replace("{key_id}", "key-none")
            path = path.replace("{rule_set_id}", "default")
            path = path.replace("{dead_letter_id}", str(uuid4()))
            path = path.replace("{taxonomy_id}/{version}", "av/1").replace("{taxonomy_id}", "av")
            response = await world.call(role.value, method, path, {} if method == "POST" else None)
            allowed = may(role, Permission(policies[method, template]))
            assert (response.status_code == 403) <= (not allowed or method != "GET"), (role, path, response.text)
            if not allowed:
                assert (response.status_code, problem_code(response)) == (403, "forbidden"), (role, method, path)
            assert response.status_code < 500, (role, method, path, response.text)


async def test_lists_hold_only_what_the_key_sees(world: ApiWorld) -> None:
    for project in (OWN, OTHER):
        await open_task(world.database, await add_sample(world.database, "s1", project=project))
    scoped = [
        [item["id"] for item in (await world.call("operations", "GET", "/v1/projects")).json()["items"]],
        [item["project"] for item in (await world.call("operations", "GET", "/v1/queues")).json()["items"]],
        [item["ref"]["project"] for item in (await world.call("operations", "GET", "/v1/tasks")).json()["items"]],
    ]
    assert scoped == [[OWN], [OWN], [OWN]]
    everything = (await world.call("root", "GET", "/v1/tasks")).json()["items"]
    assert {item["ref"]["project"] for item in everything} == {OWN, OTHER}
    keys = (await world.call("admin", "GET", "/v1/keys")).json()["items"]
    assert {tuple(key["projects"]) for key in keys} == {(OWN,)}
    assert "secret" not in str(keys)


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Basic ck_x", "Bearer ck_unknown", "Bearer " + "x" * 5_000, "bearer\tck_x", "ck_x"],
)
async def test_without_a_good_key_nothing_is_told(world: ApiWorld, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    for path in ("/v1/whoami", f"/v1/projects/{OWN}", f"/v1/tasks/{uuid4()}"):
        response = await world.call(None, "GET", path, headers=headers)
        assert (response.status_code, problem_code(response)) == (401, "unauthenticated")
        assert response.headers["www-authenticate"].startswith("Bearer")
    bad_body = await world.call(None, "POST", "/v1/keys", content=b"{", headers=headers)
    assert bad_body.status_code == 401, "who is asking comes before what is asked"


async def test_a_revoked_or_expired_key_ends_at_once(world: ApiWorld) -> None:
    made = await world.call("root", "POST", "/v1/keys", {"actor_id": "temp", "role": "viewer", "projects": [OWN]})
    assert made.status_code == 201
    world.secrets["temp"] = made.json()["secret"]
    assert len(world.secrets["temp"]) == 46
    who = await world.call("temp", "GET", "/v1/whoami")
    assert who.json() == {
        "actor_id": "temp", "key_id": made.json()["key"]["key_id"], "role": "viewer", "projects": [OWN], "skills": [],
    }  # fmt: skip
    path = f"/v1/keys/{made.json()['key']['key_id']}"
    assert (await world.call("root", "DELETE", path)).status_code == 204
    after = await world.call("temp", "GET", "/v1/whoami")
    assert (after.status_code, problem_code(after)) == (401, "unauthenticated")
    assert (await world.call("root", "DELETE", path)).status_code == 204
    unknown = await world.call("root", "DELETE", "/v1/keys/key-unknown")
    assert (unknown.status_code, problem_code(unknown)) == (404, "not-found")
    body = {"actor_id": "temp", "role": "viewer", "expires_at": "2020-01-01T00:00:00Z"}
    past = await world.call("root", "POST", "/v1/keys", body)
    assert (past.status_code, past.json()["places"][0]["pointer"]) == (422, "/expires_at")
    audit = (await world.call("root", "GET", f"/v1/projects/{OWN}/audit")).json()["items"]
    assert [item["action"] for item in audit] == ["key.issued", "key.revoked"]
    assert world.secrets["temp"] not in str(audit)


async def test_a_limited_admin_gives_no_more_than_they_have(world: ApiWorld) -> None:
    for body in ({"actor_id": "x", "role": "admin"}, {"actor_id": "concord", "role": "admin", "projects": [OWN]}):
        response = await world.call("admin", "POST", "/v1/keys", body)
        assert (response.status_code, problem_code(response)) == (403, "forbidden")
    for projects in ([OWN, OTHER], ["nowhere"]):
        response = await world.call(
            "admin", "POST", "/v1/keys", {"actor_id": "x", "role": "viewer", "projects": projects}
        )
        assert (response.status_code, problem_code(response)) == (404, "not-found")
    empty = await world.call("admin", "POST", "/v1/keys", {"actor_id": "x", "role": "viewer", "projects": []})
    assert (empty.status_code, problem_code(empty)) == (422, "invalid-input")
    foreign = await world.call("root", "POST", "/v1/keys", {"actor_id": "x", "role": "viewer", "projects": [OTHER]})
    hidden = await world.call("admin", "DELETE", f"/v1/keys/{foreign.json()['key']['key_id']}")
    assert (hidden.status_code, problem_code(hidden)) == (404, "not-found")
    rules = await world.call("admin", "POST", "/v1/rule-sets", {"id": "mine", "version": 1})
    assert (rules.status_code, problem_code(rules)) == (403, "forbidden")
    project = await world.call("admin", "POST", "/v1/projects", {"id": "new", "name": "New"})
    assert (project.status_code, problem_code(project)) == (403, "forbidden")


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/keys", {"actor_id": "x", "role": "viewer"}, "key_id"),
        ("/v1/keys", {"actor_id": "x", "role": "viewer"}, "created_at"),
        ("/v1/keys", {"actor_id": "x", "role": "viewer"}, "secret_sha256"),
        ("/v1/projects", {"id": "p", "name": "P"}, "created_at"),
        ("/v1/rule-sets", {"id": "r", "version": 1}, "sha256"),
        ("/v1/tasks/claim", {}, "actor_id"),
        ("/v1/tasks/claim", {}, "fence"),
    ],
)
async def test_fields_that_are_not_the_callers_to_set_are_refused(
    world: ApiWorld, path: str, body: dict[str, object], field: str
) -> None:
    who = "reviewer" if path.endswith("claim") else "root"
    response = await world.call(who, "POST", path, {**body, field: "x"})
    assert (response.status_code, response.json()["places"][0]["pointer"]) == (422, f"/{field}")


async def test_a_decision_can_not_name_who_decides(world: ApiWorld) -> None:
    task = await open_task(world.database, await add_sample(world.database, "s1"))
    for field in ("actor_id", "decided_at", "task_kind", "decision_id", "label_version_after"):
        body = {"fence": 1, "verdict": "approve", field: "x"}
        response = await world.call("reviewer", "POST", f"/v1/tasks/{task.task_id}/decide", body)
        assert (response.status_code, response.json()["places"][0]["pointer"]) == (422, f"/{field}")


async def test_two_keys_of_one_person_are_one_person(world: ApiWorld) -> None:
    ref = await add_sample(world.database, "s1")
    await open_task(world.database, ref)
    await open_task(world.database, ref, kind=TaskKind.ADJUDICATE, queue="spatial.expert")
    await world.key("reviewer-as-expert", Role.EXPERT)
    secret = await world.key("twice", Role.REVIEWER)
    world.secrets["twice-reviewer"] = secret
    await world.key("twice", Role.EXPERT)
    first = (await world.call("twice-reviewer", "POST", "/v1/tasks/claim", {})).json()
    body = {"fence": first["lease"]["fence"], "verdict": "approve"}
    decided = await world.call("twice-reviewer", "POST", f"/v1/tasks/{first['task']['task_id']}/decide", body)
    assert decided.status_code == 200
    second = await world.call("twice", "POST", "/v1/tasks/claim", {})
    assert (second.status_code, problem_code(second)) == (404, "no-task-available")
    assert (await world.call("reviewer-as-expert", "POST", "/v1/tasks/claim", {})).status_code == 200
