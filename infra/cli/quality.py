"""``concord quality``: known answers, and how often people are right."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import JsonOption, output, plain, print_json, print_table
from infra.cli.documents import read_document
from infra.client import ConcordClient
from services.contracts.quality import Accuracy, AnnotatorQuality, GoldAnswer, QualityReport, StoredGoldAnswer

app = typer.Typer(
    help="Known answers, and how often people are right. For managers.", no_args_is_help=True, add_completion=False
)
ProjectArgument = Annotated[str, typer.Argument(help="The project.")]


@app.command("show")
def show_quality(
    project: ProjectArgument,
    bar: Annotated[float, typer.Option(min=0, max=1, help="Share below which accuracy is too low.")] = 0.8,
    samples: Annotated[int, typer.Option(min=1, max=100_000, help="Most revisions to read, the newest.")] = 10_000,
    listed: Annotated[int, typer.Option(min=0, max=10_000, help="Most wrong verdicts, and labels, to list.")] = 20,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Show how often each person was right, by check and by class, and the newest wrong verdicts."""

    async def work(client: ConcordClient) -> QualityReport:
        return await client.quality(project, samples=samples, listed=listed, bar=bar)

    report = with_client(url, key, work)
    if json_output:
        print_json(report)
        return
    columns = ("person", "of", "judged", "right", "share", "95 % interval", "")
    print_table(
        columns,
        [_row(one, one.check or one.label or "all") for one in (*report.people, *report.by_check, *report.by_label)],
        title=f"{report.samples} samples, the answer of {report.gold_samples} is known",
    )
    print_table(
        ("person", "sample", "finding", "said", "expected", "by"),
        [
            (one.actor_id, one.ref.sample_id, one.finding_id, one.verdict, one.expected, one.reference)
            for one in report.wrong
        ],
        title="\nwrong verdicts, the newest first",
    )
    if report.unlisted:
        output().print(plain(f"and {report.unlisted} more"))
    if report.wrong_labels:
        print_table(
            ("person", "sample", "kind", "wrong", "said", "known"),
            [
                (one.actor_id, one.ref.sample_id, one.type, one.fault, one.said or "-", one.known or "-")
                for one in report.wrong_labels
            ],
            title="\nwrong labels, the newest first",
        )
    if report.unlisted_labels:
        output().print(plain(f"and {report.unlisted_labels} more"))
    _print_calibration(report)


@app.command("annotators")
def show_annotators(
    project: ProjectArgument,
    learn: Annotated[bool, typer.Option("--learn", help="Learn anew first, from what is known now.")] = False,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Show how often each annotator is right about each class, as learned from answers to the same samples."""

    async def work(client: ConcordClient) -> AnnotatorQuality:
        return await (client.learn_annotators(project) if learn else client.annotator_quality(project))

    found = with_client(url, key, work)
    if json_output:
        print_json(found)
        return
    when = "nothing was learned yet" if found.learned_at is None else f"learned at {found.learned_at.isoformat()}"
    print_table(
        ("person", "of", "things", "right", "share", "95 % interval"),
        [
            (
                skill.actor_id or "everybody",
                skill.label or "all",
                f"{skill.judged:.1f}",
                f"{skill.right:.1f}",
                f"{skill.share:.0%}",
                f"{skill.low:.0%} to {skill.high:.0%}",
            )
            for skill in found.skills
        ],
        title=f"{found.units} things in {found.samples} samples, of {found.known} it is known what they are; {when}",
    )


@app.command("gold")
def give_gold(
    project: ProjectArgument,
    answers: Annotated[
        Path | None, typer.Argument(help="A JSON list of known answers; lists them if left out.")
    ] = None,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Give known answers, or list those that were given."""
    given = () if answers is None else read_document(tuple[GoldAnswer, ...], answers, what="list of answers")

    async def work(client: ConcordClient) -> list[StoredGoldAnswer]:
        if answers is not None:
            return [await client.put_gold(project, answer) for answer in given]
        return [item async for item in client.each(lambda cursor: client.gold(project, cursor=cursor, limit=200))]

    found = with_client(url, key, work)
    if json_output:
        print_json({"items": found})
        return
    print_table(
        ("sample", "verdict", "labels", "tolerance", "given by", "given at"),
        [
            (
                one.answer.sample_id,
                one.answer.verdict or "-",
                len(one.answer.labels),
                one.answer.tolerance,
                one.given_by,
                one.given_at.isoformat(),
            )
            for one in found
        ],
    )


def _print_calibration(report: QualityReport) -> None:
    if report.mixed_in:
        print_table(
            ("person", "tasks given", "known", "share", "none left"),
            [
                (one.actor_id, one.turns, one.given, f"{one.given / one.turns:.1%}", one.missing)
                for one in report.mixed_in
                if one.turns
            ],
            title="\nknown answers mixed in",
        )
    if report.paused:
        print_table(
            ("person", "queue", "kind", "right", "at most", "bar", "since"),
            [
                (
                    one.actor_id,
                    one.queue,
                    one.kind,
                    f"{one.figures.right} of {one.figures.judged}",
                    f"{one.figures.high:.0%}",
                    f"{one.bar:.0%}",
                    one.paused_at.isoformat(),
                )
                for one in report.paused
            ],
            title="\npaused",
        )
    if report.experts is not None:
        print_table(
            ("sample", "first", "said", "second", "said"),
            [
                (one.sample_id, one.first_actor, one.first_verdict, one.second_actor, one.second_verdict)
                for one in report.disagreements
            ],
            title=f"\n{report.experts.agreed} of {report.experts.compared} second opinions of experts are the first's "
            f"({report.experts.low:.0%} to {report.experts.high:.0%}); otherwise:",
        )


def _row(one: Accuracy, of: str) -> tuple[object, ...]:
    interval = f"{one.low:.0%} to {one.high:.0%}"
    return (
        one.actor_id,
        of,
        one.judged,
        one.right,
        f"{one.share:.0%}",
        interval,
        "below the bar" if one.below_bar else "",
    )
