"""The gRPC server of the plugin, with errors that read as one line."""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from pulumi.provider.experimental.server import ProviderServicer
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import provider_pb2_grpc

from lab.provider.aws import ProviderError
from lab.provider.plugin import AwsProvider

PARENT_SECONDS = 0.5
METHODS = (
    *("CheckConfig", "DiffConfig", "Configure", "Invoke"),
    *("Check", "Diff", "Create", "Read", "Update", "Delete"),
)


def main(arguments: list[str]) -> None:
    """Serve the engine whose address is the first argument, until it goes away."""
    parser = argparse.ArgumentParser(prog="pulumi-resource-aws", description=__doc__)
    parser.add_argument("engine", help="address of the engine")
    engine = parser.parse_known_args(arguments)[0].engine
    version = importlib.metadata.version("pulumi-aws")
    servicer = _Servicer(arguments, version, AwsProvider(version), engine)
    asyncio.run(_serve(servicer))


async def _serve(servicer: ProviderServicer) -> None:
    server = grpc.aio.server(options=_GRPC_CHANNEL_OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    # The engine reads the port from the first line of standard output.
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await _parent_gone(os.getppid())
    await server.stop(grace=None)


async def _parent_gone(parent: int) -> None:
    """Return when the engine has ended: a killed engine does not end its plugins."""
    while os.getppid() == parent:
        await asyncio.sleep(PARENT_SECONDS)


def _readable(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The SDK turns every exception into one with a traceback; undo that for expected ones."""

    async def call(self: Any, request: Any, context: Any) -> Any:
        try:
            return await method(self, request, context)
        except Exception as error:
            cause = error.__context__
            if not isinstance(cause, ProviderError):
                raise
            await context.abort(grpc.StatusCode.UNKNOWN, str(cause))

    return call


class _Servicer(ProviderServicer):
    pass


for _name in METHODS:
    setattr(_Servicer, _name, _readable(getattr(ProviderServicer, _name)))
