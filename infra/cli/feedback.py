"""``concord feedback``: what the decisions of a project teach."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import JsonOption, messages, plain, print_json, print_table
from infra.cli.export import put_in_place
from infra.client import ConcordClient
from infra.feedback_calls import FeedbackCalls
from services.contracts.canonical import canonical_json
from services.contracts.feedback import ModelQuality, NextSamples, Share, ThresholdAdvice, ThresholdReport

app = typer.Typer(
    help="Quality of pre-label models, thresholds, what to label next, corrected samples to train on.",
    no_args_is_help=True,
    add_completion=False,
)
ProjectArgument = Annotated[str, typer.Argument(help="The project.")]
SamplesOption = Annotated[int, typer.Option(min=1, max=100_000, help="Most samples to read.")]
_SIDES = {"above": "above the threshold", "below": "below the threshold", "either_side": "beyond it either way"}
_LIMITS = (
    "Only findings that were made have verdicts: what was never reported is not seen, and only tightening can be "
    "judged. Nothing was changed."
)
_INCOMPLETE = "there is more than was read; raise --samples"


@app.command("models")
def show_models(
    project: ProjectArgument,
    samples: SamplesOption = 10_000,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Show how good each pre-label model is on each class, by what was committed."""

    async def work(client: ConcordClient) -> ModelQuality:
        return await FeedbackCalls(client, project).models(samples=samples)

    found = with_client(url, key, work)
    if json_output:
        print_json(found)
        return
    columns = (
        "model", "kind", "class", "predicted", "confirmed", "class wrong", "geometry", "attributes", "removed",
        "committed", "missed", "precision", "recall", "closeness",
    )  # fmt: skip
    print_table(
        columns,
        [
            (
                one.model if one.version is None else f"{one.model}@{one.version}",
                one.kind, one.label, one.predictions, one.confirmed, one.corrected_class, one.corrected_geometry,
                one.corrected_attributes, one.removed, one.truth, one.missed, _share(one.precision),
                _share(one.recall), "" if one.mean_closeness is None else f"{one.mean_closeness:.3f}",
            )
            for one in found.models
        ],
        title=f"{found.records} committed samples; left out: {found.unpredicted} without a prediction, "
        f"{found.unjudged} that nobody decided about, {found.erased} erased",
    )  # fmt: skip
    _warn_unless(found.complete)


@app.command("thresholds")
def show_thresholds(
    project: ProjectArgument,
    target_precision: Annotated[float, typer.Option(min=0.01, max=0.999, help="Least share of true findings.")] = 0.9,
    samples: SamplesOption = 10_000,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Show what tighter thresholds would have kept of the findings that people judged; nothing is changed."""

    async def work(client: ConcordClient) -> ThresholdReport:
        return await FeedbackCalls(client, project).thresholds(target_precision=target_precision, samples=samples)

    found = with_client(url, key, work)
    if json_output:
        print_json(found)
        return
    for one in found.advice:
        print_table(
            ("threshold", "kept", "right", "precision", "recall of those made", ""),
            [
                (
                    f"{at.threshold:g}",
                    at.kept,
                    at.right,
                    _share(at.precision),
                    _share(at.recall),
                    _mark(at.threshold, one),
                )
                for at in one.points
            ],
            title=f"\n{one.check} {one.kind}, {one.unit}, a finding {_SIDES[one.direction]}: {_advice(one)}",
        )
    told = f"{found.samples} samples; thresholds with judged findings: {len(found.advice)}. {_LIMITS}"
    messages().print(plain(told))
    if found.varying:
        messages().print(plain(f"Held against a fact of each sample, so not judged: {', '.join(found.varying)}"))
    _warn_unless(found.complete)


@app.command("next")
def show_next(
    project: ProjectArgument,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many samples.")] = 50,
    samples: SamplesOption = 10_000,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Rank the samples that are not committed by what labelling them would teach."""

    async def work(client: ConcordClient) -> NextSamples:
        return await FeedbackCalls(client, project).next_samples(limit=limit, samples=samples)

    found = with_client(url, key, work)
    if json_output:
        print_json(found)
        return
    print_table(
        ("sample", "revision", "stage", "predicted", "score", "weakness", "doubt", "rarity", "weakest", "rarest"),
        [
            (
                one.ref.sample_id, one.ref.revision, one.stage, one.predictions, _number(one.score),
                *((_number(one.parts.weakness), _number(one.parts.doubt), _number(one.parts.rarity))
                  if one.parts is not None else ("", "", "")),
                one.weakest, one.rarest,
            )
            for one in found.items
        ],
        title=f"{found.candidates} samples that are not committed, {found.unpredicted} of them without a prediction; "
        f"{found.records} committed ones tell how good the models are",
    )  # fmt: skip
    _warn_unless(found.complete)


@app.command("export")
def export_corrections(
    project: ProjectArgument,
    output_file: Annotated[Path, typer.Option("--output", "-o", help="A file of JSON Lines.")],
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Write each committed sample in which a model was corrected, with the reasons, one canonical line a sample."""

    async def work(client: ConcordClient) -> int:
        calls = FeedbackCalls(client, project)
        count = 0
        with put_in_place(output_file) as stream:
            async for item in client.each(lambda cursor: calls.corrections(cursor=cursor)):
                stream.write(canonical_json(item.model_dump(mode="json", exclude_none=True)).decode() + "\n")
                count += 1
        return count

    count = with_client(url, key, work)
    messages().print(plain(f"{count} corrected samples of {project} in {output_file}"))


def _share(share: Share) -> str:
    if share.value is None:
        return "-"
    return f"{share.value:.3f} ({share.low:.3f} to {share.high:.3f})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _mark(threshold: float, advice: ThresholdAdvice) -> str:
    marks = ("present" if threshold == advice.present else "", "suggested" if threshold == advice.suggested else "")
    return ", ".join(mark for mark in marks if mark)


def _advice(one: ThresholdAdvice) -> str:
    told = {
        "keep": f"{one.present:g} reaches the target",
        "tighten": "" if one.suggested is None else f"{one.suggested:g} would reach the target",
        "out_of_reach": "no threshold reaches the target by these findings",
    }[one.reason]
    accepted = f", {one.accepted} accepted conflicts left out" if one.accepted else ""
    return f"{told} ({one.judged} judged{accepted})"


def _warn_unless(complete: bool) -> None:
    if not complete:
        messages().print(plain(_INCOMPLETE))
