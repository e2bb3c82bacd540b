"""Apply an erasure, revision by revision, each in a transaction of its own; note its end and tell of it once."""

from __future__ import annotations

from math import ceil

from services.contracts.access import SYSTEM_ACTOR
from services.contracts.erasure import Erasure, Outcome, Retention
from services.contracts.lifecycle import FINAL_STAGES, RevisionRef
from services.contracts.project_events import MAX_TOLD_REVISIONS, SubjectErased
from services.erasure.tombstones import ERASED_ACTION
from services.errors import NotFoundError, UnavailableError
from services.lifecycle.journal import subject_of
from services.lifecycle.project_events import tell_project
from services.lifecycle.revisions import withdraw_revision
from services.ports.database import Database, Transaction

_A_CALL = 100
_WITHDRAWN_BECAUSE = "to be erased"
_GONE = ("erased", "texts", "notes", "profiles", "dead_letters")
_OUTCOMES = {"held": Outcome.HELD, "live": Outcome.LIVE}


async def apply_batch(
    database: Database, actor: str, erasure: Erasure, *, failed: dict[RevisionRef, Exception] | None = None
) -> Erasure:
    """Erase the next hundred revisions of an erasure that is about revisions; return how far it is.

    Any number of callers may do this at once, and any of them may be killed: every revision is erased once. What a
    retention policy has ordered is taken back as soon as the project's policy is another; nothing is erased by a policy
    that somebody has changed before.

    Args:
        database: The store of record.
        actor: Who applies it; told in tombstones and audit entries.
        erasure: The erasure.
        failed: Revisions that could not be erased before, and are left out; those that can not be erased now are put
            there too, with the reason. Without it the first such reason is raised, after the others were erased.

    Raises:
        UnavailableError: The database does not answer.
    """
    left_out = {} if failed is None else failed
    for _ in range(_A_CALL):
        ref: RevisionRef | None = None
        try:
            async with database.transaction() as tx:
                if erasure.policy_days is not None:
                    # Whoever changes the policy waits for this revision; the next is looked at under what they set.
                    project = await tx.projects.get(erasure.project, lock=True)
                    policy = None if project is None else project.config.retention
                    if policy is None or policy.keep_days != erasure.policy_days:
                        return await take_back(tx, erasure, policy)
                    if actor == SYSTEM_ACTOR and policy.when_expired != "erase":
                        break
                ref = await tx.erasures.next_waiting(erasure.project, erasure.erasure_id, but=tuple(left_out))
                if ref is None:
                    break
                await _erase(tx, actor, erasure, ref)
        except UnavailableError:
            raise
        except Exception as error:
            if ref is None:
                raise
            error.add_note(f"{subject_of(ref)} of {ref.project}")
            left_out[ref] = error
    async with database.transaction() as tx:
        known = await known_erasure(tx, erasure, lock=True)
        if known.finished_at is None and not known.counts.waiting:
            known = await _drop_letters(tx, known)
        done = await finish(tx, actor, known)
    if failed is None and left_out:
        raise next(iter(left_out.values()))
    return done


async def _drop_letters(tx: Transaction, erasure: Erasure) -> Erasure:
    """Remove refused events that name the subject of a locked erasure, once it has come to all its revisions."""
    gone, held = await tx.erasures.drop_letters(erasure.project, erasure.erasure_id)
    counts = erasure.counts.model_copy(
        update={"dead_letters": erasure.counts.dead_letters + gone, "dead_letters_held": held}
    )
    return erasure.model_copy(update={"counts": counts})


async def finish(tx: Transaction, actor: str, erasure: Erasure) -> Erasure:
    """Note the end of a locked erasure of which nothing waits any more, and take that back after a retry."""
    done = not erasure.counts.waiting
    if done == (erasure.finished_at is not None):
        return erasure
    beside = erasure.counts.model_copy(update=dict.fromkeys(("waiting", "erased", "held", "live"), 0))
    await tx.erasures.finish(erasure.erasure_id, beside, await tx.now() if done else None)
    if done:
        # Once for all of them: they have no index by sample.
        await tx.erasures.drop_replies(erasure.project, erasure.erasure_id)
        tx.audit.append(
            erasure.project,
            actor=actor,
            action="erasure.finished",
            subject=audit_subject(erasure),
            body={name: count for name, count in erasure.counts.model_dump().items() if count},
        )
        if any(getattr(erasure.counts, name) for name in _GONE):
            await _tell(tx, await known_erasure(tx, erasure))
    return await known_erasure(tx, erasure)


async def take_back(tx: Transaction, erasure: Erasure, policy: Retention | None) -> Erasure:
    """End an erasure of a policy that holds no longer; what is gone is gone, and the rest is left alone."""
    locked = await known_erasure(tx, erasure, lock=True)
    if locked.finished_at is not None:
        return locked
    dropped = await tx.erasures.drop_waiting(erasure.erasure_id)
    tx.audit.append(
        erasure.project,
        actor=SYSTEM_ACTOR,
        action="erasure.taken_back",
        subject=audit_subject(erasure),
        body={
            "revisions": dropped,
            "policy_days": erasure.policy_days,
            "keep_days": None if policy is None else policy.keep_days,
        },
    )
    return await finish(tx, SYSTEM_ACTOR, await known_erasure(tx, locked))


async def known_erasure(tx: Transaction, erasure: Erasure, *, lock: bool = False) -> Erasure:
    """Return an erasure as it is now; raises NotFoundError if it is gone."""
    found = await tx.erasures.get(erasure.project, erasure.erasure_id, lock=lock)
    if found is None:
        raise NotFoundError(f"There is no erasure {str(erasure.erasure_id)!r} in project {erasure.project!r}.")
    return found


def audit_subject(erasure: Erasure) -> str:
    """Return how the audit trail names an erasure."""
    return f"erasures/{erasure.erasure_id}"


async def _erase(tx: Transaction, actor: str, erasure: Erasure, ref: RevisionRef) -> None:
    """Erase one revision, or note why not; told once, by whoever erased it."""
    # In the order that everybody keeps: the sample, its revision.
    await tx.samples.lock_sample(ref.project, ref.sample_id)
    revision = await tx.samples.get(ref, lock=True)
    live = revision is not None and revision.stage not in FINAL_STAGES
    if revision is not None and live and erasure.withdraw and not await tx.erasures.is_held(ref):
        await withdraw_revision(tx, revision, actor, _WITHDRAWN_BECAUSE)
    outcome = await tx.erasures.erase(ref, erasure.erasure_id, actor=actor)
    await tx.erasures.set_outcome(erasure.erasure_id, ref, _OUTCOMES.get(outcome, Outcome.ERASED))
    tombstone = await tx.erasures.tombstone(ref) if outcome == "done" else None
    if tombstone is None:
        return
    tx.audit.append(
        ref.project,
        actor=actor,
        action=ERASED_ACTION,
        subject=subject_of(ref),
        body={
            "erasure_id": str(erasure.erasure_id),
            "hashes": tombstone.hashes.model_dump(mode="json", exclude_none=True),
        },
    )


async def _tell(tx: Transaction, erasure: Erasure) -> None:
    """Tell what was erased, in as many events as the revisions need."""
    assert erasure.finished_at is not None  # noqa: S101 - the caller has just noted it
    parts = max(1, ceil(erasure.counts.erased / MAX_TOLD_REVISIONS))
    after: RevisionRef | None = None
    for part in range(1, parts + 1):
        revisions = await tx.erasures.erased_of(
            erasure.project, erasure.erasure_id, after=after, limit=MAX_TOLD_REVISIONS
        )
        after = revisions[-1] if revisions else after
        told = SubjectErased(
            project=erasure.project,
            at=erasure.finished_at,
            erasure_id=erasure.erasure_id,
            kind=erasure.kind,
            counts=erasure.counts,
            revisions=revisions,
            part=part,
            parts=parts,
        )
        await tell_project(tx, told)
