"""Every route names who may call it; an application with a route that does not is refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts

from api.auth import authenticate
from services.access.policy import Permission, ensure_may
from services.contracts.access import Principal

_POLICY = "concord_policy"
PUBLIC = "public"


class MissingPolicyError(RuntimeError):
    """A route says nothing, or two things, about who may call it."""


def requires(permission: Permission) -> Callable[..., Awaitable[Principal]]:
    """Return the dependency of a route that needs ``permission``; it answers who is asking."""

    async def ensure(principal: Annotated[Principal, Depends(authenticate)]) -> Principal:
        ensure_may(principal, permission)
        return principal

    setattr(ensure, _POLICY, permission.value)
    return ensure


async def public() -> None:
    """The dependency of a route that anybody may call."""


setattr(public, _POLICY, PUBLIC)


def policies_of(app: FastAPI) -> dict[tuple[str, str], str]:
    """Return the permission (or ``public``) of every (method, path) of an application.

    Raises:
        MissingPolicyError: A route has none, has more than one, or can not have one.
    """
    policies: dict[tuple[str, str], str] = {}
    for context in iter_route_contexts(app.routes):
        path = str(context.path)
        if not isinstance(context.original_route, APIRoute):
            raise MissingPolicyError(f"{path} is no route that can declare a policy")
        found = set(_declared(context.dependant))
        if len(found) != 1:
            raise MissingPolicyError(f"{path} must declare exactly one policy, it has {sorted(found) or 'none'}")
        for method in context.methods or ():
            policies[method, path] = next(iter(found))
    return policies


def _declared(dependant: Dependant) -> Iterator[str]:
    for dependency in dependant.dependencies:
        policy: Any = getattr(dependency.call, _POLICY, None)
        if policy is not None:
            yield str(policy)
        yield from _declared(dependency)
