"""Keep whoever has just made labels from other open tasks of the sample: from judging them, or making them again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from services.contracts.annotations import Annotation
from services.contracts.label_base import Author
from services.contracts.review import JUDGING_KINDS, ReviewTask, TaskKind
from services.ports.database import Transaction
from services.review.judges import FINISHED_STATES, findings_of, folded_of, labels_concerned
from services.review.labels import labels_by_id


async def exclude_authors(
    tx: Transaction, answered: ReviewTask, made: Mapping[str, Iterable[str]], annotations: Sequence[Annotation]
) -> None:
    """Keep people from judging, in other open tasks of the sample, the labels they have just made.

    What else of the sample they were asked to label is asked of others, who may answer it.

    Args:
        tx: The transaction; the revision is locked.
        answered: The task that the labels answer.
        made: Ids of what they added, altered or removed, by person.
        annotations: The labels before and after, for findings that name none.
    """
    if not made:
        return
    for task in await tx.review.tasks_of(answered.ref):
        if task.state in FINISHED_STATES or task.task_id == answered.task_id:
            continue
        if task.kind is answered.kind is TaskKind.ANNOTATE:
            excluded = {actor_id for actor_id in made if actor_id in (task.assignee, task.held_by)}
        elif task.kind in JUDGING_KINDS:
            findings = await findings_of(tx, task)
            concerned = labels_concerned(findings, await folded_of(tx, task.ref, findings), annotations)
            excluded = {actor_id for actor_id, names in made.items() if not concerned.isdisjoint(names)}
        else:
            continue
        for actor_id in sorted(excluded):
            await tx.review.exclude_actor(task.task_id, actor_id)


def made_by(before: Sequence[Annotation], after: Sequence[Annotation], author: Author) -> dict[str, set[str]]:
    """Return the ids of the labels that people added, altered or removed, by person.

    Args:
        before: The labels that were there.
        after: Those that were handed in; a label may name an author of its own.
        author: Who handed them in, and made what names nobody else; their entry is there even if it is empty.
    """
    old, new = labels_by_id(before), labels_by_id(after)
    made: dict[str, set[str]] = {}
    if author.kind == "human":
        made[author.id] = {name for name in old if name not in new}
    for name, label in new.items():
        maker = label.author or author
        if maker.kind == "human" and old.get(name) != label:
            made.setdefault(maker.id, set()).add(name)
    return made
