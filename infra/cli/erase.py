"""``concord erase`` and ``concord hold``: forget what must be forgotten, keep what must be kept."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import EXIT_FOUND, JsonOption, messages, plain, print_facts, print_json, print_table
from infra.client import ConcordClient
from infra.erasure_calls import ErasureCalls
from services.contracts.erasure import (
    Erasure,
    ErasureCounts,
    ErasureRequest,
    ErasureSubject,
    LegalHold,
    NewHold,
    PreviewRequest,
)
from services.contracts.validation import validate
from services.errors import InvalidInputError

hold_app = typer.Typer(help="Legal holds: nothing under one is erased.", no_args_is_help=True, add_completion=False)
ProjectArgument = Annotated[str, typer.Argument(help="The project.")]


def erase(
    project: ProjectArgument,
    *,
    sample: Annotated[list[str] | None, typer.Option(help="A sample, all its revisions; may be repeated.")] = None,
    context: Annotated[
        str | None, typer.Option(help="Samples whose context names the subject.", metavar="FIELD=VALUE")
    ] = None,
    expired: Annotated[bool, typer.Option("--expired", help="What the project's retention no longer keeps.")] = False,
    person: Annotated[str | None, typer.Option(help="What the project holds of a person.")] = None,
    entry: Annotated[list[int] | None, typer.Option(help="Texts of an audit entry; may be repeated.")] = None,
    resume: Annotated[UUID | None, typer.Option(help="Go on with an erasure that was ordered.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why; needed to apply.")] = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Withdraw and erase what is under way too.")] = False,
    apply: Annotated[
        bool, typer.Option("--apply/--preview", help="Erase for good, or only count what that would meet.")
    ] = False,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Erase the content of samples, of a person or of audit entries; hashes, times and who decided stay.

    Without --apply it only counts. Exit 1 if something was refused: held, or under way.
    """
    if resume is not None:
        _told(
            with_client(url, key, lambda client: _apply(ErasureCalls(client, project), resume, retry=True)), json_output
        )
        return
    subject = _subject(sample, context, person, entry, expired=expired)
    if not apply:
        counts = with_client(url, key, lambda client: ErasureCalls(client, project).preview(subject))
        _told(counts, json_output)
        return
    if not reason:
        raise InvalidInputError("say why with --reason; it is told in the audit trail")
    request = ErasureRequest(subject=subject, reason=reason, withdraw=withdraw)

    async def work(client: ConcordClient) -> Erasure:
        calls = ErasureCalls(client, project)
        ordered = await calls.order(request)
        messages().print(plain(f"erasure {ordered.erasure_id}; --resume goes on with it if this breaks off"))
        return await _apply(calls, ordered.erasure_id)

    _told(with_client(url, key, work), json_output)


@hold_app.command("place")
def place(
    project: ProjectArgument,
    reason: Annotated[str, typer.Option(help="Why, such as the number of a case.")],
    sample: Annotated[str | None, typer.Option(help="One sample; the whole project if left out.")] = None,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Let nothing of a sample, or of the project, be erased until the hold is released."""
    new = validate(NewHold, {"sample_id": sample, "reason": reason}, what="legal hold")
    _holds([with_client(url, key, lambda client: ErasureCalls(client, project).place_hold(new))], json_output)


@hold_app.command("release")
def release(
    project: ProjectArgument,
    hold_id: Annotated[UUID, typer.Argument(help="The hold.")],
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Release a legal hold."""
    _holds([with_client(url, key, lambda client: ErasureCalls(client, project).release_hold(hold_id))], json_output)


@hold_app.command("list")
def list_holds(
    project: ProjectArgument, json_output: JsonOption = False, url: UrlOption = None, key: KeyOption = None
) -> None:
    """List legal holds, newest first."""
    _holds(list(with_client(url, key, lambda client: ErasureCalls(client, project).holds())), json_output)


async def _apply(calls: ErasureCalls, erasure_id: UUID, *, retry: bool = False) -> Erasure:
    erasure = await calls.apply(erasure_id, retry=retry)
    while erasure.finished_at is None:
        messages().print(plain(f"{erasure.counts.waiting} revisions wait"), style="dim")
        erasure = await calls.apply(erasure_id)
    return erasure


def _subject(
    samples: list[str] | None, context: str | None, person: str | None, entries: list[int] | None, *, expired: bool
) -> ErasureSubject:
    chosen: list[dict[str, object]] = []
    if samples:
        chosen.append({"kind": "samples", "sample_ids": samples})
    if context is not None:
        field, equals, value = context.partition("=")
        if not equals:
            raise InvalidInputError("--context is FIELD=VALUE, such as patient=4711")
        chosen.append({"kind": "context", "field": field, "value": value})
    if expired:
        chosen.append({"kind": "expired"})
    if person is not None:
        chosen.append({"kind": "person", "actor_id": person})
    if entries:
        chosen.append({"kind": "entries", "sequences": entries})
    if len(chosen) != 1:
        raise InvalidInputError("say what to erase by one of --sample, --context, --expired, --person, --entry")
    return validate(PreviewRequest, {"subject": chosen[0]}, what="erasure").subject


def _told(result: Erasure | ErasureCounts, json_output: bool) -> None:
    counts = result.counts if isinstance(result, Erasure) else result
    if json_output:
        print_json(result)
    else:
        facts: list[tuple[str, object]] = []
        if isinstance(result, Erasure):
            facts.append(("erasure", result.erasure_id))
        told = [(name.replace("_", " "), count) for name, count in counts.model_dump().items() if count]
        print_facts([*facts, *(told or [("met", "nothing")])])
    if isinstance(result, Erasure) and (counts.held or counts.live or counts.dead_letters_held):
        raise typer.Exit(EXIT_FOUND)


def _holds(holds: list[LegalHold], json_output: bool) -> None:
    if json_output:
        print_json({"items": holds})
        return
    print_table(
        ("hold", "sample", "placed by", "at", "released by", "reason"),
        [
            (one.hold_id, one.sample_id or "all", one.placed_by, one.placed_at, one.released_by, one.reason)
            for one in holds
        ],
    )
