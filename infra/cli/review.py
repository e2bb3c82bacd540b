"""``concord claim`` and ``decide``: review from the shell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import JsonOption, messages, output, plain, print_facts, print_json
from infra.cli.documents import read_document
from infra.client import ApiProblem, ClaimedTask, ConcordClient
from services.contracts.annotations import Annotations
from services.contracts.findings import LabelPatch
from services.contracts.review import (
    Decision,
    DecisionInput,
    Evidence,
    FindingResolution,
    GivenAnswer,
    Remark,
    TaskKind,
    Verdict,
)
from services.contracts.validation import validate
from services.review.judges import FINISHED_STATES

_NOT_SAID = {"id", "type", "stream", "label"}

EXIT_NOTHING = 1


def claim(
    task: Annotated[str | None, typer.Argument(help="One task; the best that fits if left out.")] = None,
    queue: Annotated[str | None, typer.Option(help="Only from this queue.")] = None,
    project: Annotated[str | None, typer.Option(help="Only of this project.")] = None,
    kind: Annotated[list[TaskKind] | None, typer.Option(help="Only tasks of this kind; may be repeated.")] = None,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Claim a task and show what there is to decide; exit 1 if no task fits now."""

    async def work(client: ConcordClient) -> tuple[ClaimedTask, Evidence] | None:
        if task is not None:
            claimed: ClaimedTask | None = await client.claim(task)
        else:
            claimed = await client.claim_next(queue=queue, project=project, kinds=tuple(kind or ()))
        return None if claimed is None else (claimed, await client.evidence(claimed.task.task_id))

    found = with_client(url, key, work)
    if found is None:
        if json_output:
            print_json({"task": None})
        else:
            output().print("No task fits now.")
        raise typer.Exit(EXIT_NOTHING)
    claimed, evidence = found
    if json_output:
        print_json({"task": claimed.task, "lease": claimed.lease, "notice": claimed.notice, "evidence": evidence})
        return
    if claimed.notice is not None:
        messages().print(plain(claimed.notice), style="yellow")
    _print_evidence(claimed, evidence)


def _print_evidence(claimed: ClaimedTask, evidence: Evidence) -> None:
    task = claimed.task
    print_facts(
        [
            ("task", task.task_id),
            ("kind", task.kind),
            ("sample", f"{task.ref.project}/{task.ref.sample_id} revision {task.ref.revision}"),
            ("queue", task.queue),
            ("risk", task.risk),
            ("reason", task.reason),
            *([] if task.caused_by is None else [("escalated by", task.caused_by.rule)]),
            ("fence", claimed.lease.fence),
            ("lease until", claimed.lease.lease_expires_at.isoformat()),
            ("label version", evidence.label_version),
        ]
    )
    for item in evidence.findings:
        finding = item.finding
        output().print(plain(f"\n{finding.severity}  {finding.check}/{finding.kind}  {finding.finding_id}"))
        output().print(plain(f"  {finding.message}"))
        if finding.suggestion is not None:
            output().print(plain(f"  suggestion: {finding.suggestion.summary}"))
    for answer in evidence.answers:
        output().print(plain(f"  answer on {answer.annotation_id}: {_said(answer)}"))
    for earlier in evidence.decisions:
        output().print(plain(f"\nearlier: {earlier.actor_id} {earlier.verdict} {earlier.note or ''}"))
    output().print(plain(f"\nDecide with: concord decide {task.task_id} --fence {claimed.lease.fence} --verdict …"))


def _said(answer: GivenAnswer) -> str:
    if answer.label is None:
        return "nothing there"
    told = answer.label.model_dump(mode="json", exclude_none=True, exclude_defaults=True, exclude=_NOT_SAID)
    return " ".join([answer.label.label, *(f"{name}={value}" for name, value in told.items())])


def decide(
    task: Annotated[str, typer.Argument(help="The task.")],
    *,
    verdict: Annotated[Verdict, typer.Option(help="What is decided.")],
    reason_code: Annotated[
        str | None, typer.Option(help="Needed to accept a conflict; the rule set names them.")
    ] = None,
    note: Annotated[str | None, typer.Option(help="Needed to reject, escalate or discard.")] = None,
    patch: Annotated[Path | None, typer.Option(help='A JSON file {"upsert": […], "remove": […]}.')] = None,
    labels: Annotated[Path | None, typer.Option(help="A JSON file with the whole label set, to submit.")] = None,
    resolve: Annotated[
        list[str] | None,
        typer.Option(help="FINDING=approve or FINDING=accept_conflict:REASON, against the verdict; may be repeated."),
    ] = None,
    remarks: Annotated[
        Path | None, typer.Option(help='A JSON file [{"pin": {"stream": …, "frame": …}, "text": …}], for rework.')
    ] = None,
    fence: Annotated[int | None, typer.Option(min=1, help="From the claim; looked up if left out.")] = None,
    label_version: Annotated[
        int | None, typer.Option(min=0, help="Of the labels you saw; refused if they have changed where it matters.")
    ] = None,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Decide a task that you hold."""
    patch_document = None if patch is None else read_document(LabelPatch, patch, what="patch")
    annotations = None if labels is None else read_document(Annotations, labels, what="label set")
    pinned = None if remarks is None else read_document(tuple[Remark, ...], remarks, what="remarks")
    resolutions = tuple(resolution_of(text) for text in resolve or ()) or None

    async def work(client: ConcordClient) -> Decision:
        held = fence if fence is not None else await fence_of(client, task)
        given: dict[str, Any] = {
            "verdict": verdict,
            "fence": held,
            "reason_code": reason_code,
            "note": note,
            "patch": patch_document,
            "annotations": annotations,
            "resolutions": resolutions,
            "remarks": pinned,
            "label_version": label_version,
        }
        return await client.decide(task, DecisionInput(**given))

    decision = with_client(url, key, work)
    if json_output:
        print_json(decision)
        return
    print_facts(
        [
            ("decision", decision.decision_id),
            ("verdict", decision.verdict),
            ("labels", f"version {decision.label_version_before} → {decision.label_version_after}"),
            ("sha256", decision.content_sha256),
        ]
    )


def resolution_of(text: str) -> FindingResolution:
    """Return what ``FINDING=VERDICT[:REASON]`` says about one finding.

    Raises:
        InvalidInputError: It does not say that.
    """
    finding_id, _, said = text.partition("=")
    verdict, _, reason = said.partition(":")
    given = {"finding_id": finding_id, "verdict": verdict, "reason_code": reason or None}
    return validate(FindingResolution, given, what=f"resolution {text!r} (FINDING=approve, FINDING=accept_conflict:…)")


async def fence_of(client: ConcordClient, task: str) -> int:
    """Return the fence under which the person behind the key holds the task, or decided it.

    Raises:
        ApiProblem: They do not hold it.
    """
    evidence = await client.evidence(task)
    # Of a finished task the service says best itself what became of it; the same decision is answered as before.
    if evidence.task.state in FINISHED_STATES:
        return evidence.task.fence
    me = await client.whoami()
    if evidence.task.held_by != me.actor_id:
        raise ApiProblem(
            "urn:concord:problem:stale-fence", "The task is not yours", 409, "you do not hold this task: claim it first"
        )
    return evidence.task.fence
