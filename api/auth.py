"""Who is asking: a bearer key is looked up by its hash, in the database, on every request.

The comparison is an index look-up of a SHA-256 and therefore tells nothing about a secret by its timing. Nothing is
remembered between requests, so that a revoked key ends with the revocation.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from api.services import ApiServices
from services.access.keys import sha256_of_secret
from services.contracts.access import Principal
from services.errors import UnauthenticatedError

_MAX_SECRET = 300


class _BearerKey(HTTPBearer):
    """Documents the scheme in OpenAPI; the key itself is read by :func:`authenticate`."""

    def __init__(self) -> None:
        super().__init__(
            scheme_name="ApiKey", bearerFormat="ck_…", description="An API key, as a bearer token.", auto_error=False
        )

    async def __call__(self, request: Request) -> None:  # type: ignore[override]
        """Read nothing: one place reads the header."""


def services_of(request: Request) -> ApiServices:
    """Return what the application was made with."""
    services: ApiServices = request.app.state.services
    return services


Services = Annotated[ApiServices, Depends(services_of)]


async def authenticate(
    request: Request, services: Services, _scheme: Annotated[None, Security(_BearerKey())]
) -> Principal:
    """Return who has the key of this request.

    Raises:
        UnauthenticatedError: There is no key, or an unknown, revoked or expired one; all of these read alike.
    """
    secret = _secret_of(request)
    async with services.database.transaction() as tx:
        principal = await tx.access.principal_of(sha256_of_secret(secret))
    if principal is None:
        raise UnauthenticatedError("This API key is not known, was revoked or has expired.")
    request.scope["state"]["actor_id"] = principal.actor_id
    request.scope["state"]["key_id"] = principal.key_id
    return principal


def _secret_of(request: Request) -> str:
    headers = request.headers.getlist("Authorization")
    if len(headers) != 1:
        raise UnauthenticatedError("Send exactly one header: Authorization: Bearer <API key>.")
    scheme, _, secret = headers[0].partition(" ")
    secret = secret.strip(" ")
    if scheme.lower() != "bearer" or not 0 < len(secret) <= _MAX_SECRET:
        raise UnauthenticatedError("Send the key as: Authorization: Bearer <API key>.")
    return secret
