"""Kill each process but the store of record once while samples flow, and prove that nothing acknowledged was lost.

Upstream, annotator, reviewer and expert work through the public API and remember what it acknowledged. Meanwhile
one process after the other is ended with SIGKILL, the next when the one before is ready again. At the end the memory
is compared with what the service tells, and with the events that it published.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from nats.js.api import ConsumerConfig, DeliverPolicy

from infra.client import ConcordClient, cloud_event
from infra.demo.driver import SOURCE, Demonstration
from infra.demo.plan import PlannedSample, made_up
from infra.demo.report import DemoReport
from infra.local import LocalConcord, LocalConfig, run_local
from infra.messaging.nats import EVENTS_STREAM, open_nats
from services.contracts.base import Contract
from services.contracts.canonical import parse_json
from services.contracts.events import EventType
from services.contracts.lifecycle import Stage

VICTIMS = ("worker", "api", "ingester", "nats", "temporal")
RETRY_FOR_S = 180.0
RECOVERY_TIMEOUT_S = 180.0
QUIET_S = 3.0


class Kill(Contract):
    """One process that was ended with SIGKILL.

    Attributes:
        process: Its name.
        open_samples: How many samples had not come to their end.
        seconds_to_ready: From the signal until its successor was ready.
    """

    process: str
    open_samples: int
    seconds_to_ready: float


class Proof(Contract):
    """One thing that must hold after everything, with what was counted."""

    name: str
    holds: bool
    detail: str


class KillReport(Contract):
    """The result of a campaign."""

    samples: int
    kills: tuple[Kill, ...]
    proofs: tuple[Proof, ...]
    demo: DemoReport
    seconds: float

    @property
    def survived(self) -> bool:
        """Whether every proof holds."""
        return all(proof.holds for proof in self.proofs)


Told = Callable[[str], None]


async def kill_campaign(
    folder: Path, *, samples: int = 20, seed: int = 1, victims: Sequence[str] = VICTIMS, tell: Told = lambda text: None
) -> KillReport:
    """Run a campaign on an embedded system of its own.

    Args:
        folder: An empty folder for the system and the assets.
        samples: How many made-up samples flow.
        seed: Chooses the samples.
        victims: Names of the processes to kill, in this order.
        tell: Is told what happens, a sentence at a time.
    """
    started = time.monotonic()
    assets = folder / "assets"
    planned = made_up(assets, seed=seed, rounds=-(-samples // 13))[:samples]
    async with run_local(LocalConfig(data_dir=folder / "data", asset_roots=(assets,))) as concord:
        stages: Counter[Stage] = Counter()
        moving = asyncio.Event()

        def moved(now: Counter[Stage], decisions: int) -> None:
            if now != stages:
                stages.clear()
                stages.update(now)
                moving.set()
                tell(", ".join(f"{count} {stage.value}" for stage, count in sorted(now.items())))

        run = Demonstration(concord.urls.api_url, concord.admin_key, planned, progress=moved, retry_for_s=RETRY_FOR_S)
        flow = asyncio.create_task(run.run())
        kills: list[Kill] = []
        try:
            for name in victims:
                moving.clear()
                waiting = asyncio.create_task(moving.wait())  # each kill hits work that is under way
                await asyncio.wait({waiting, flow}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                kills.append(await _kill(concord, name, samples - _ended(stages), tell))
            demo = await flow
        finally:
            flow.cancel()
            await asyncio.gather(flow, return_exceptions=True)
        proofs = [*await _proofs(concord, run, planned), *await _published(concord, run)]
    return KillReport(
        samples=len(planned),
        kills=tuple(kills),
        proofs=(Proof(name="every sample came to its end", holds=_whole(demo), detail=_stages(demo)), *proofs),
        demo=demo,
        seconds=round(time.monotonic() - started, 1),
    )


def _ended(stages: Counter[Stage]) -> int:
    return stages[Stage.COMMITTED] + stages[Stage.REJECTED] + stages[Stage.WITHDRAWN]


async def _kill(concord: LocalConcord, name: str, open_samples: int, tell: Told) -> Kill:
    pid = concord.stack.pid(name)
    tell(f"SIGKILL to {name} with {open_samples} samples under way")
    at = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    await asyncio.wait_for(concord.stack.wait_ready(name, other_than=pid), RECOVERY_TIMEOUT_S)
    seconds = round(time.monotonic() - at, 1)
    tell(f"{name} is ready again after {seconds} s")
    return Kill(process=name, open_samples=open_samples, seconds_to_ready=seconds)


def _whole(demo: DemoReport) -> bool:
    return demo.committed + demo.rejected == demo.samples and demo.found == demo.injected


def _stages(demo: DemoReport) -> str:
    return (
        f"{demo.committed} committed, {demo.rejected} rejected of {demo.samples}; {demo.found} of {demo.injected} found"
    )


async def _proofs(concord: LocalConcord, run: Demonstration, planned: Sequence[PlannedSample]) -> list[Proof]:
    """Compare what the API acknowledged with what it tells now."""
    async with ConcordClient(concord.urls.api_url, concord.admin_key) as admin:
        project = run.project
        lost_events = []
        for result in run.accepted:
            sample = await admin.sample(project, str(result.sample_id), revision=result.revision)
            if (sample.event_source, sample.event_id) != (result.source, result.id):
                lost_events.append(result.id)
        kind = EventType.SAMPLE_CREATED.value
        events = [
            cloud_event(
                kind, SOURCE, f"{kind}/{sample.posted.sample_id}", sample.posted, subject=sample.posted.sample_id
            )
            for sample in planned
        ]
        results = await admin.send_events(events)
        repeated = [f"{result.id}: {result.outcome}" for result in results if result.outcome != "duplicate"]
        entries = [entry async for entry in admin.each(lambda at: admin.audit(project, after=int(at or 0), limit=500))]
        known = {str(entry.body.get("decision_id")) for entry in entries}
        lost_decisions = [str(one.decision_id) for one in run.decided if str(one.decision_id) not in known]
        commits: Counter[tuple[str, int]] = Counter()
        async for record in admin.each(lambda cursor: admin.ground_truths(project, cursor=cursor)):
            commits[record.ref.sample_id, record.ref.revision] += 1
        committed = Counter(entry.subject for entry in entries if entry.action == "sample.committed")
        twice = [subject for subject, count in committed.items() if count > 1]
        verification = await admin.verify(project)
    return [
        _proof("no acknowledged event is lost", lost_events, f"{len(run.accepted)} acknowledged"),
        _proof("events sent again are known", repeated, f"{len(events)} sent again"),
        _proof("no acknowledged decision is lost", lost_decisions, f"{len(run.decided)} acknowledged"),
        _proof("one commit a sample revision", twice, f"{len(commits)} records, {len(committed)} commits"),
        _proof(
            "lineage and audit chain verify",
            [f"{fault.subject}: {fault.detail}" for fault in verification.faults],
            f"{verification.records} records, {verification.entries} entries",
        ),
    ]


async def _published(concord: LocalConcord, run: Demonstration) -> list[Proof]:
    """Read every event that went out, and look for gaps and disorder in each sample's sequence."""
    sequences: dict[str, list[int]] = defaultdict(list)
    async with (
        ConcordClient(concord.urls.api_url, concord.admin_key) as admin,
        open_nats(concord.urls.nats_url, name="concord-kill-campaign") as nats,
    ):
        wanted: dict[str, int] = {}
        for sample_id in {str(result.sample_id) for result in run.accepted}:
            wanted[sample_id] = max(change.sequence for change in await admin.timeline(run.project, sample_id))
        subscription = await nats.jetstream().pull_subscribe(
            "", stream=EVENTS_STREAM, config=ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
        )
        while True:
            try:
                messages = await subscription.fetch(100, timeout=QUIET_S)
            except TimeoutError:
                break
            for message in messages:
                data = parse_json(message.data)["data"]
                # Those about the project, such as anchors, are in no sample's sequence.
                if "sample_id" in data:
                    sequences[data["sample_id"]].append(data["sequence"])
                await message.ack()
    wrong = [
        f"{sample_id}: {sequences[sample_id]}, wanted 1 to {last}"
        for sample_id, last in sorted(wanted.items())
        if list(dict.fromkeys(sequences[sample_id])) != list(range(1, last + 1))
    ]
    count = sum(len(sequence) for sequence in sequences.values())
    return [_proof("events went out in order, without a gap", wrong, f"{count} events of {len(wanted)} samples")]


def _proof(name: str, faults: Sequence[str], detail: str) -> Proof:
    return Proof(name=name, holds=not faults, detail="; ".join(faults[:5]) or detail)
