"""Connect to Temporal, with the converter that carries the contract's models."""

from __future__ import annotations

import asyncio
import time

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError

from services.errors import UnavailableError

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0


async def connect_temporal(address: str, namespace: str = "default", *, patience_s: float = 60.0) -> Client:
    """Return a connected client; wait for a server that is not up yet.

    Args:
        address: ``host:port``.
        namespace: Must exist.
        patience_s: How long to try.

    Raises:
        UnavailableError: No answer in that time.
    """
    give_up_at = time.monotonic() + patience_s
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return await Client.connect(address, namespace=namespace, data_converter=pydantic_data_converter)
        except (RPCError, RuntimeError) as error:
            # The SDK raises RuntimeError where no connection could be made at all.
            if time.monotonic() + pause_s > give_up_at:
                raise UnavailableError(f"Temporal at {address} did not answer within {patience_s:g} s") from error
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
