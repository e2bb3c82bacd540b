"""Shapes that exist on the wire only; everything else is a contract model."""

from __future__ import annotations

from typing import Annotated, Any, Generic, TypeVar

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field

from services.contracts.access import ApiKeyInfo
from services.contracts.base import Contract, Identifier, LongText, ProjectId, Text
from services.contracts.review import Lease, ReviewTask
from services.contracts.verification import Anchor
from services.contracts.webhooks import WebhookEndpoint

Item = TypeVar("Item", bound=BaseModel)
MAX_INTEGER = 2**31 - 1
MAX_ANCHORS = 50_000

ProjectPath = Annotated[ProjectId, Path(description="Id of the project.", examples=["av-urban"])]
SamplePath = Annotated[Identifier, Path(description="Id of the sample in its project.", examples=["kitti-000008"])]
RevisionQuery = Annotated[
    int | None, Query(ge=1, le=MAX_INTEGER, description="Revision of the sample; the newest if left out.")
]
Fence = Annotated[int, Field(ge=1, le=2**53, description="From the claim; every write carries it.")]


class Page(BaseModel, Generic[Item]):
    """A part of a list."""

    model_config = ConfigDict(extra="forbid")

    items: tuple[Item, ...]
    next_cursor: str | None = Field(description="Send it as cursor to get the next part; null at the end.")


class ClaimedTask(Contract):
    """A task, and the right to work on it until the lease is over."""

    task: ReviewTask
    lease: Lease
    notice: Text | None = Field(
        default=None, description="What the person should know, such as that they are outside of their working hours."
    )


class HeldRequest(Contract):
    """Names the hold by which a write is made."""

    fence: Fence


class HeartbeatRequest(Contract):
    """Keeps a hold, and says whether the person is at work."""

    fence: Fence
    visible: bool = Field(
        default=True, description="Whether the task is on the person's screen; hidden time is not counted."
    )
    idle_s: Annotated[float, Field(ge=0, le=86_400)] = Field(
        default=0.0, description="How long ago they last did something; what exceeds 60 s is not counted."
    )


class DraftRequest(Contract):
    """Unfinished work, in the client's own shape; a DecisionInput without its fence is a good one."""

    fence: Fence
    body: Annotated[dict[str, Any], Field(max_length=1_000)]


class EscalateRequest(Contract):
    """Why an expert must decide."""

    fence: Fence
    note: Annotated[LongText, Field(min_length=1)]


class VerifyRequest(Contract):
    """What a verification is held against."""

    anchor: Anchor | None = Field(default=None, description="A link of the chain noted earlier, outside of the store.")
    anchors: Annotated[tuple[Anchor, ...], Field(max_length=MAX_ANCHORS)] = Field(
        default=(), description="Further links; all must be in the chain."
    )


class CreatedKey(Contract):
    """A new key. The secret is told this once and stored nowhere."""

    key: ApiKeyInfo
    secret: str = Field(description="ck_ and 43 characters; send it as a bearer token.")


class CreatedWebhook(Contract):
    """A webhook with its new secret, which is told this once."""

    webhook: WebhookEndpoint
    secret: str = Field(description="whsec_ and 32 bytes in base64; it verifies the signatures.")


class Readiness(BaseModel):
    """Whether the service can do its work."""

    ready: bool
    store: str = Field(description="ok: the database answers and has the newest schema.")


class Liveness(BaseModel):
    """The process answers."""

    alive: bool
