"""``concord note``: what people say about samples."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import typer

from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import JsonOption, age, output, plain, print_json, print_table
from infra.client import ConcordClient
from infra.note_calls import NoteCalls, mentions
from services.contracts.notes import Mention, NewNote, Note, NoteVersion
from services.contracts.validation import validate
from services.errors import InvalidInputError

app = typer.Typer(
    help="Write and read notes on samples; see where you are mentioned.", no_args_is_help=True, add_completion=False
)

Project = Annotated[str, typer.Argument(help="The project.")]
Sample = Annotated[str, typer.Argument(help="The sample.")]
NoteId = Annotated[UUID, typer.Argument(help="The note's id.")]


def pin_of(
    stream: str | None,
    frame: int | None,
    span_s: tuple[float, float] | None,
    box_px: tuple[float, float, float, float] | None,
    annotation: str | None,
) -> dict[str, Any] | None:
    """Return the pin that the options name; None for the sample as a whole.

    Raises:
        InvalidInputError: They contradict each other, or lack the stream.
    """
    if annotation is not None:
        if (stream, frame, span_s, box_px) != (None, None, None, None):
            raise InvalidInputError("--annotation stands alone: a label is in a place already")
        return {"kind": "annotation", "annotation_id": annotation}
    if span_s is not None:
        if frame is not None or box_px is not None:
            raise InvalidInputError("--span-s goes with --stream or with nothing, not with --frame or --box-px")
        span = {"kind": "time", "start_s": span_s[0], "end_s": span_s[1]}
        return span if stream is None else span | {"stream": stream}
    if stream is None:
        if frame is not None or box_px is not None:
            raise InvalidInputError("--frame and --box-px are places of a stream; give --stream too")
        return None
    if box_px is not None:
        region = {"kind": "region", "stream": stream, "box_px": list(box_px)}
        return region if frame is None else region | {"frame": frame}
    return (
        {"kind": "stream", "stream": stream} if frame is None else {"kind": "frame", "stream": stream, "frame": frame}
    )


@app.command("write")
def write_note(
    project: Project,
    sample_id: Sample,
    text: Annotated[str, typer.Argument(help="What to say; @person mentions somebody.")],
    *,
    thread: Annotated[UUID | None, typer.Option(help="Answer in this thread.")] = None,
    revision: Annotated[int | None, typer.Option(min=1, help="Revision of the sample; the newest if left out.")] = None,
    stream: Annotated[str | None, typer.Option(help="Pin it to a stream.")] = None,
    frame: Annotated[int | None, typer.Option(min=0, help="Pin it to a frame of the stream.")] = None,
    span_s: Annotated[
        tuple[float, float] | None, typer.Option(help="Pin it to a time: start and end, seconds.")
    ] = None,
    box_px: Annotated[
        tuple[float, float, float, float] | None, typer.Option(help="Pin it to x_min y_min x_max y_max, pixels.")
    ] = None,
    annotation: Annotated[str | None, typer.Option(help="Pin it to a label.")] = None,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Write a note on a sample, or answer in a thread."""
    values = {
        "body": text,
        "pin": pin_of(stream, frame, span_s, box_px, annotation),
        "thread_id": None if thread is None else str(thread),
        "revision": revision,
    }
    note = validate(NewNote, {name: value for name, value in values.items() if value is not None}, what="note")

    async def work(client: ConcordClient) -> Note:
        return await NoteCalls(client, project, sample_id).write(note)

    _tell("wrote", with_client(url, key, work), json_output)


@app.command("list")
def list_notes(
    project: Project,
    sample_id: Sample,
    revision: Annotated[int | None, typer.Option(min=1, help="Only notes on this revision.")] = None,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """List the notes on a sample, oldest first."""

    async def work(client: ConcordClient) -> tuple[Note, ...]:
        return await NoteCalls(client, project, sample_id).list(revision)

    found = with_client(url, key, work)
    if json_output:
        print_json({"items": found})
        return
    print_table(
        ("note", "thread", "age", "revision", "author", "pin", "text"),
        [
            (
                item.note_id,
                "" if item.thread_id == item.note_id else item.thread_id,
                age(item.created_at),
                item.ref.revision,
                item.author,
                _pin_text(item),
                "(deleted)" if item.deleted_at else item.body,
            )
            for item in found
        ],
    )


@app.command("edit")
def edit_note(
    project: Project,
    sample_id: Sample,
    note: NoteId,
    text: Annotated[str, typer.Argument(help="What it says from now on.")],
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Replace what your note says; what it said before is kept."""

    async def work(client: ConcordClient) -> Note:
        return await NoteCalls(client, project, sample_id).edit(note, text)

    _tell("edited", with_client(url, key, work), json_output)


@app.command("delete")
def delete_note(
    project: Project,
    sample_id: Sample,
    note: NoteId,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Take your note back; its history stays."""

    async def work(client: ConcordClient) -> Note:
        return await NoteCalls(client, project, sample_id).delete(note)

    _tell("deleted", with_client(url, key, work), json_output)


@app.command("history")
def note_history(
    project: Project,
    sample_id: Sample,
    note: NoteId,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """List everything a note said."""

    async def work(client: ConcordClient) -> tuple[NoteVersion, ...]:
        return await NoteCalls(client, project, sample_id).history(note)

    found = with_client(url, key, work)
    if json_output:
        print_json({"items": found})
        return
    print_table(
        ("version", "at", "actor", "text"),
        [(v.version, v.at.isoformat(), v.actor, "(deleted)" if v.deleted else v.body) for v in found],
    )


@app.command("mentions")
def list_mentions(
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, newest first.")] = 50,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """List where you are mentioned, newest first."""

    async def work(client: ConcordClient) -> list[Mention]:
        found: list[Mention] = []
        async for item in client.each(lambda cursor: mentions(client, cursor=cursor, limit=min(limit, 200))):
            found.append(item)
            if len(found) == limit:
                break
        return found

    found = with_client(url, key, work)
    if json_output:
        print_json({"items": found})
        return
    print_table(
        ("age", "project", "sample", "note", "author", "text"),
        [
            (age(m.at), m.note.ref.project, m.note.ref.sample_id, m.note.note_id, m.note.author, m.note.body)
            for m in found
        ],
    )


def _pin_text(note: Note) -> str:
    pin = note.pin.model_dump(mode="json", exclude_none=True)
    kind = pin.pop("kind")
    return " ".join([kind, *(str(value) for value in pin.values())])


def _tell(what: str, note: Note, json_output: bool) -> None:
    if json_output:
        print_json(note)
        return
    told = f", mentions {', '.join(note.mentions)}" if note.mentions else ""
    output().print(plain(f"{what} note {note.note_id}{told}"))
