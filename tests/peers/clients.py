"""Clients that others wrote, ready to be pointed at a gateway: the official Python client, the MCP
Inspector's command line, and the official TypeScript client. Judges nothing.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

from stage import Ended, Failed, Stage, equal

READ_SECONDS_MAX = 40.0
"""For an answer to a Python client."""

TYPESCRIPT = Path(__file__).with_name("typescript.cjs")


def bearer(token: str | None) -> dict[str, str]:
    """The header that carries a token."""
    return {} if token is None else {"Authorization": f"Bearer {token}"}


@dataclass(frozen=True)
class Tls:
    """How an HTTP client speaks over TLS."""

    roots: Path
    """Whom it trusts."""
    http: str
    """What must be agreed on: `HTTP/1.1` or `HTTP/2`."""

    def options(self) -> dict[str, Any]:
        """For a client of `httpx2`."""
        trusted = ssl.create_default_context(cafile=str(self.roots))
        hooks = {"response": [self._check]}
        return {"verify": trusted, "http2": self.http == "HTTP/2", "event_hooks": hooks}

    async def _check(self, response: httpx2.Response) -> None:
        equal(response.http_version, self.http, "HTTP that was agreed on")


def http_client(token: str | None, tls: Tls | None = None) -> httpx2.AsyncClient:
    """An HTTP client that knows no proxies."""
    options = tls.options() if tls else {}
    return httpx2.AsyncClient(
        headers=bearer(token), timeout=READ_SECONDS_MAX, trust_env=False, **options
    )


@asynccontextmanager
async def over_http(
    url: str, token: str | None, *, tls: Tls | None = None, mode: str = "auto", **callbacks: Any
) -> AsyncIterator[Client]:
    """The Python client over Streamable HTTP."""
    async with http_client(token, tls) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(
            transport, mode=mode, read_timeout_seconds=READ_SECONDS_MAX, **callbacks
        ) as client:
            yield client


@asynccontextmanager
async def over_sse(
    url: str, token: str | None, *, tls: Tls | None = None, **callbacks: Any
) -> AsyncIterator[Client]:
    """The Python client over HTTP+SSE (2024-11-05)."""

    def factory(**_: Any) -> httpx2.AsyncClient:
        return http_client(token, tls)

    async with Client(
        sse_client(url, httpx_client_factory=factory),
        mode="legacy",
        read_timeout_seconds=READ_SECONDS_MAX,
        **callbacks,
    ) as client:
        yield client


@asynccontextmanager
async def over_stdio(
    stage: Stage, command: list[str], *, mode: str = "auto", **callbacks: Any
) -> AsyncIterator[Client]:
    """The Python client with a local server, which it starts itself."""
    server = StdioServerParameters(
        command=command[0], args=command[1:], env=stage.environment, cwd=stage.directory
    )
    with (stage.directory / "client.log").open("a") as errors:
        async with Client(
            stdio_client(server, errlog=errors),
            mode=mode,
            read_timeout_seconds=READ_SECONDS_MAX,
            **callbacks,
        ) as client:
            yield client


async def inspector(stage: Stage, target: list[str], *arguments: str) -> Ended:
    """The Inspector's command line; the target is a URL or the command of a local server."""
    launcher = stage.package("inspector/clients/launcher/build/index.js")
    options = ["--format", "json", "--quiet"]
    if len(target) == 1:
        return await stage.run(stage.node, launcher, "--cli", *target, *arguments, *options)
    return await stage.run(
        stage.node, launcher, "--cli", *arguments, *options, "--transport", "stdio", "--", *target
    )


async def inspector_result(stage: Stage, target: list[str], *arguments: str) -> Any:
    """The result that the Inspector prints; fails when it reports an error."""
    ended = await inspector(stage, target, *arguments)
    try:
        return json.loads(ended.output)["result"]
    except (ValueError, KeyError):
        raise Failed(
            f"inspector, exit status {ended.status}: {ended.output} {ended.errors}"
        ) from None


async def typescript(stage: Stage, url: str, token: str, steps: list[dict[str, Any]]) -> list[Any]:
    """Has the TypeScript client do steps in one session; see `typescript.cjs`."""
    ended = await stage.run(stage.node, str(TYPESCRIPT), url, token, json.dumps(steps))
    if ended.status != 0:
        raise Failed(f"typescript client: {ended.output} {ended.errors}")
    return list(json.loads(ended.output))


ACCEPT = {"Accept": "application/json, text/event-stream"}
"""What a POST request of Streamable HTTP must accept."""

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "peer", "version": "1"},
    },
}
"""The first message of a client that is written out here by hand."""
