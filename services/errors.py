"""Errors as business facts: each says what happened, whose turn it is and what to change.

Every error that can reach a person or another program is a :class:`ConcordError`. Its ``code`` is stable:
it becomes the ``type`` of a problem-details answer, the reason of a dead letter and the type of a Temporal
application error.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class Category(StrEnum):
    """What kind of fact an error is; the API maps each to one HTTP status."""

    INVALID = "invalid"  # the caller sent something that can not be right: 422
    MALFORMED = "malformed"  # the caller sent something that can not be read: 400
    UNAUTHENTICATED = "unauthenticated"  # 401
    FORBIDDEN = "forbidden"  # 403
    NOT_FOUND = "not_found"  # 404
    CONFLICT = "conflict"  # the state of the world says no: 409
    PRECONDITION = "precondition"  # somebody else changed it first: 412
    TOO_LARGE = "too_large"  # 413
    UNSUPPORTED = "unsupported"  # 415
    UNAVAILABLE = "unavailable"  # try again later: 503
    INTEGRITY = "integrity"  # stored facts contradict each other: 500


class ConcordError(Exception):
    """A business fact that stops an operation.

    Args:
        detail: One sentence for a person, with the values that matter and what to change.
        places: Where in the input it happened, as (JSON pointer, sentence) pairs.
        facts: Further machine-readable members of the problem, JSON values only.
    """

    code: ClassVar[str] = "error"
    title: ClassVar[str] = "Something went wrong"
    category: ClassVar[Category] = Category.INVALID

    def __init__(
        self,
        detail: str,
        *,
        places: tuple[tuple[str, str], ...] = (),
        facts: dict[str, str | int | float | bool | None] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.places = places
        self.facts = facts or {}


class MalformedJsonError(ConcordError):
    """The bytes are not JSON that Concord reads (syntax, NaN, NUL, depth, duplicate keys)."""

    code = "malformed-json"
    title = "The body is not readable JSON"
    category = Category.MALFORMED


class InvalidInputError(ConcordError):
    """The JSON does not match the contract; ``places`` names every place."""

    code = "invalid-input"
    title = "The input does not match the contract"


class UnknownEventTypeError(ConcordError):
    """The CloudEvent has a type that Concord does not handle."""

    code = "unknown-event-type"
    title = "Unknown event type"


class UndeliverableError(ConcordError):
    """The event was delivered again and again and never came to an outcome."""

    code = "undeliverable"
    title = "The event came to no outcome"
    category = Category.INTEGRITY


class EventConflictError(ConcordError):
    """The pair (source, id) was already accepted with other content."""

    code = "event-conflict"
    title = "This event id was already used with other content"
    category = Category.CONFLICT


class PayloadTooLargeError(ConcordError):
    """A body, a file or a decoded size is over its limit."""

    code = "payload-too-large"
    title = "Too large"
    category = Category.TOO_LARGE


class UnsupportedMediaTypeError(ConcordError):
    """The content type is not one that this operation reads."""

    code = "unsupported-media-type"
    title = "Unsupported content type"
    category = Category.UNSUPPORTED


class AssetError(ConcordError):
    """An asset could not be read; the subclass says why."""

    code = "asset-unreadable"
    title = "An asset can not be read"


class AssetMissingError(AssetError):
    """There is nothing at the asset's address."""

    code = "asset-missing"
    title = "An asset is missing"


class AssetForbiddenError(AssetError):
    """The asset's address is outside what this service may read."""

    code = "asset-forbidden"
    title = "An asset lies outside of what may be read"


class AssetHashMismatchError(AssetError):
    """The asset's bytes are not the bytes whose hash the manifest states."""

    code = "asset-hash-mismatch"
    title = "An asset has another hash than its manifest says"


class AssetTooLargeError(AssetError):
    """The asset is larger than the limit, on disk or once decoded."""

    code = "asset-too-large"
    title = "An asset is too large"


class UnauthenticatedError(ConcordError):
    """No key, an unknown key, a revoked or an expired one."""

    code = "unauthenticated"
    title = "A valid API key is needed"
    category = Category.UNAUTHENTICATED


class ForbiddenError(ConcordError):
    """The key's role or projects do not allow this."""

    code = "forbidden"
    title = "Not allowed"
    category = Category.FORBIDDEN


class NotFoundError(ConcordError):
    """There is no such thing, or none that this key may see."""

    code = "not-found"
    title = "Not found"
    category = Category.NOT_FOUND


class AlreadyExistsError(ConcordError):
    """Something with this id exists already."""

    code = "already-exists"
    title = "Already exists"
    category = Category.CONFLICT


class NoTaskAvailableError(ConcordError):
    """Nothing in the queue fits this person now."""

    code = "no-task-available"
    title = "No task fits now"
    category = Category.NOT_FOUND


class TaskHeldError(ConcordError):
    """Another person holds the task."""

    code = "task-held"
    title = "Somebody else holds this task"
    category = Category.CONFLICT


class TaskOnHoldError(ConcordError):
    """The task is on hold, or its queue is paused: it is given to nobody now."""

    code = "task-on-hold"
    title = "This task is given to nobody now"
    category = Category.CONFLICT


class CapReachedError(ConcordError):
    """The person, or the queue, has as many claims as may be."""

    code = "cap-reached"
    title = "As many tasks are held as may be"
    category = Category.CONFLICT


class TaskFinishedError(ConcordError):
    """The task has its answer, or was cancelled."""

    code = "task-finished"
    title = "This task is finished"
    category = Category.CONFLICT


class PersonPausedError(ConcordError):
    """The person is given no tasks of this queue and kind until operations resume them."""

    code = "person-paused"
    title = "You are given no tasks here for now"
    category = Category.FORBIDDEN


class StaleFenceError(ConcordError):
    """The lease behind this fencing token is over; the draft is kept."""

    code = "stale-fence"
    title = "The lease on this task is over"
    category = Category.CONFLICT


class SelfReviewError(ConcordError):
    """The person made, or has already judged, what they are asked to judge."""

    code = "self-review"
    title = "Nobody reviews their own work"
    category = Category.FORBIDDEN


class DecisionInvalidError(ConcordError):
    """The decision does not fit the task (verdict, reason code, labels)."""

    code = "decision-invalid"
    title = "The decision does not fit the task"


class CorrectionUnfitError(ConcordError):
    """The correction of an incident has nothing to change in a sample."""

    code = "correction-unfit"
    title = "The correction does not fit this sample"


class IncidentConflictError(ConcordError):
    """The incident's state does not allow this."""

    code = "incident-conflict"
    title = "The incident is not in a state that allows this"
    category = Category.CONFLICT


class LabelInUseError(ConcordError):
    """A version of a taxonomy would leave labels in use without a class."""

    code = "label-in-use"
    title = "A class in use would vanish"
    category = Category.CONFLICT


class MigrationConflictError(ConcordError):
    """The state of a taxonomy migration does not allow this."""

    code = "migration-conflict"
    title = "The migration is not in a state that allows this"
    category = Category.CONFLICT


class ActivationConflictError(ConcordError):
    """The state of a scheduled activation does not allow this."""

    code = "activation-conflict"
    title = "The activation is not in a state that allows this"
    category = Category.CONFLICT


class StageConflictError(ConcordError):
    """The sample's stage does not allow this."""

    code = "stage-conflict"
    title = "The sample is not at a stage that allows this"
    category = Category.CONFLICT


class BlockingFindingError(ConcordError):
    """Ground truth can not be committed while a blocking finding is unresolved."""

    code = "blocking-finding"
    title = "A blocking finding is unresolved"
    category = Category.CONFLICT


class LegalHoldError(ConcordError):
    """What should be erased must be kept as long as a legal hold is in force."""

    code = "legal-hold"
    title = "A legal hold is in force"
    category = Category.CONFLICT


class ChangedMeanwhileError(ConcordError):
    """Somebody else changed what this change was made from."""

    code = "changed-meanwhile"
    title = "Somebody else changed this first"
    category = Category.PRECONDITION


class IdempotencyConflictError(ConcordError):
    """The idempotency key was used with another request."""

    code = "idempotency-conflict"
    title = "This idempotency key belongs to another request"
    category = Category.CONFLICT


class SecretToldError(ConcordError):
    """The call made a key when it came first; a secret is told once."""

    code = "secret-told"
    title = "The secret of this key was told once"
    category = Category.CONFLICT


class UnavailableError(ConcordError):
    """A part that this operation needs does not answer; try again."""

    code = "unavailable"
    title = "Temporarily unavailable"
    category = Category.UNAVAILABLE


class PreLabelError(ConcordError):
    """A pre-label model gave no usable answer; the sample goes on to people."""

    code = "pre-label-failed"
    title = "A pre-label model gave no usable answer"
    category = Category.UNAVAILABLE


class IntegrityError(ConcordError):
    """Stored facts contradict each other: tampering, or a bug."""

    code = "integrity"
    title = "Stored facts contradict each other"
    category = Category.INTEGRITY
