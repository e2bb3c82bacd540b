"""``concord bench votes``: how many votes it takes to be as right as with all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra.bench.votes.score import VotesReport, score_votes
from infra.bench.votes.sets import vote_sets
from infra.cli.console import EXIT_FOUND, JsonOption, messages, output, plain, print_json, print_table
from services.errors import InvalidInputError


def bench_votes(
    data: Annotated[Path, typer.Argument(help="A folder with bluebirds_cubam or nlvr.", exists=True, file_okay=False)],
    seeds: Annotated[int, typer.Option(min=2, max=1_000, help="How often the questions are halved anew.")] = 20,
    *,
    json_output: JsonOption = False,
) -> None:
    """Replay the votes of real people: asking by the value of another answer, against fixed overlap and majority.

    For each seed, price and pooling are chosen on one half of the questions, and scored on the other. Exit code 1 if
    asking by value from a queue needs more than half of the votes, or is less right than all of them.
    """
    console = messages()
    sets = vote_sets(data)
    if not sets:
        raise InvalidInputError(f"{data} holds no votes: neither bluebirds_cubam/demo/bluebirds nor nlvr/dev")
    report = VotesReport(
        sets=tuple(
            score_votes(one, seeds=seeds, tell=lambda what: console.print(plain(what), style="dim")) for one in sets
        )
    )
    if json_output:
        print_json(report)
    else:
        print_votes(report)
    if not all(one.holds for one in report.sets):
        raise typer.Exit(EXIT_FOUND)


def print_votes(report: VotesReport) -> None:
    """Print one table a set."""
    for one in report.sets:
        print_table(
            ("policy", "accuracy", "95 %", "votes a question", "of all", "95 %", "against all votes", "95 %"),
            [
                (
                    row.policy, row.accuracy, f"{row.accuracy_low} to {row.accuracy_high}", row.votes,
                    f"{100 * row.share:.1f} %", f"{100 * row.share_low:.1f} to {100 * row.share_high:.1f} %",
                    f"{100 * row.gain:+.1f} points", f"{100 * row.gain_low:+.1f} to {100 * row.gain_high:+.1f}",
                )
                for row in one.policies
            ],
            title=f"{one.name}: {one.questions} questions, {one.people} people, {one.seeds} seeds; {one.about}",
        )  # fmt: skip
        chosen = ", ".join(f"{what} ({times})" for what, times in one.chosen.items())
        verdict = "holds" if one.holds else "DOES NOT HOLD"
        claim = (
            f"as right (within {100 * report.margin:g} points) with at most {100 * report.max_share:g} % of the votes"
        )
        output().print(plain(f"{claim}: {verdict}. Chosen: {chosen}\n"))
