"""The clients of the matrix: official and other clients, each calling one tool of each of many servers,
over either HTTP transport, over TLS, or as local programs. Knows no gateway: it is told addresses and
commands.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastmcp
import httpx2
import mcp.client.session
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport
from mcp import Client

import clients
import fixture
from servers import Server
from stage import Stage


CONNECT_MS_MAX = "60000"
"""For the Inspector, which by itself gives a server 15 seconds to start."""


# Python's client takes a server that is slow to start for one of an older revision. How busy this
# machine is must not decide what is spoken.
mcp.client.session.DISCOVER_TIMEOUT_SECONDS = clients.READ_SECONDS_MAX

ALL_SECONDS_MAX = 250.0
"""For one program that goes to all servers."""


@dataclass(frozen=True)
class Aim:
    """A server, and how a client gets to it: by an address and a token, or by a command."""

    server: Server
    url: str = ""
    token: str = ""
    roots: Path | None = None
    """The authorities that count, where the address is one of `https`."""
    prefix: str = ""
    """What the tool's name begins with there."""
    command: tuple[str, ...] = ()

    @property
    def tool(self) -> str:
        """The tool by its name there."""
        return self.prefix + self.server.tool

    def tls(self, http: str) -> clients.Tls | None:
        """For Python clients that speak this version of HTTP."""
        return clients.Tls(self.roots, http) if self.roots else None


Calls = Callable[[Stage, list[Aim]], Awaitable[list[str]]]
"""Calls the tool of each server; what each said, or how it went wrong."""


@dataclass(frozen=True)
class Caller:
    """A client."""

    name: str
    """On record, where it has a token of its own."""
    title: str
    calls: Calls
    only_modern: bool = False
    """Whether it speaks 2026-07-28 and nothing else."""
    only_listed: bool = False
    """Whether it calls no tool that it has not seen in the list."""
    path: str = "mcp"
    """The end of the address that it asks for: `mcp`, or `sse` for HTTP+SSE."""

    def reaches(self, server: Server) -> bool:
        """Whether both have a revision in common."""
        return server.is_modern or not self.only_modern


def one_by_one(call: Callable[[Stage, Aim], Awaitable[str]]) -> Calls:
    """A client that is started for each server."""

    async def calls(stage: Stage, aims: list[Aim]) -> list[str]:
        said = []
        for aim in aims:
            try:
                said.append(await call(stage, aim))
            except Exception as error:
                said.append(_told(error))
        return said

    return calls


def _told(error: BaseException) -> str:
    """What went wrong, without the groups that tasks make of it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def python(mode: str, http: str = "HTTP/1.1") -> Calls:
    """The official Python client."""

    async def call(stage: Stage, aim: Aim) -> str:
        if aim.command:
            connection = clients.over_stdio(stage, list(aim.command), mode=mode)
        else:
            connection = clients.over_http(aim.url, aim.token, tls=aim.tls(http), mode=mode)
        async with connection as client:
            return await _listed_and_called(client, aim)

    return one_by_one(call)


async def _python_sse(_stage: Stage, aim: Aim) -> str:
    async with clients.over_sse(aim.url, aim.token, tls=aim.tls("HTTP/1.1")) as client:
        return await _listed_and_called(client, aim)


async def _listed_and_called(client: Client | fastmcp.Client[Any], aim: Aim) -> str:
    await client.list_tools()
    result = await client.call_tool(aim.tool, aim.server.arguments)
    return "\n".join(getattr(part, "text", "") for part in result.content)


async def _fastmcp(stage: Stage, aim: Aim) -> str:
    if aim.command:
        transport = StdioTransport(
            aim.command[0],
            list(aim.command[1:]),
            env=stage.environment,
            cwd=str(stage.directory),
            keep_alive=False,
            log_file=stage.directory / "client.log",
        )
    else:

        def factory(**_: Any) -> httpx2.AsyncClient:
            return clients.http_client(aim.token, aim.tls("HTTP/1.1"))

        transport = StreamableHttpTransport(aim.url, httpx_client_factory=factory)
    async with fastmcp.Client(transport, timeout=clients.READ_SECONDS_MAX) as client:
        return await _listed_and_called(client, aim)


def inspector(era: str) -> Calls:
    """The Inspector's command line."""

    async def call(stage: Stage, aim: Aim) -> str:
        given = [
            part
            for name, value in aim.server.arguments.items()
            for part in ("--tool-arg", f"{name}={_word(value)}")
        ]
        options = ["--protocol-era", era, "--connect-timeout", CONNECT_MS_MAX]
        options += ["--method", "tools/call"]
        options += ["--tool-name", aim.tool, *given]
        target = list(aim.command) or [aim.url]
        if not aim.command:
            options += ["--header", f"Authorization: Bearer {aim.token}"]
        result = await clients.inspector_result(stage, target, *options)
        return "\n".join(part.get("text", "") for part in result["content"])

    return one_by_one(call)


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def typescript(mode: str, http: str = "http/1.1") -> Calls:
    """The official TypeScript client, one program for all servers."""

    def command(stage: Stage) -> list[str]:
        return [stage.node, str(clients.TYPESCRIPT.with_name("each.cjs")), mode, http]

    return all_at_once(command)


def _rust(stage: Stage) -> list[str]:
    """The official Rust client, one program for all servers."""
    return [fixture.client(stage)]


def all_at_once(command: Callable[[Stage], list[str]]) -> Calls:
    """A program that is given all servers at once."""

    async def calls(stage: Stage, aims: list[Aim]) -> list[str]:
        targets = [
            {"tool": aim.tool, "arguments": aim.server.arguments, "revision": _known(aim.server)}
            | ({"command": aim.command} if aim.command else {"url": aim.url, "token": aim.token})
            for aim in aims
        ]
        ended = await stage.run(
            *command(stage), json.dumps(targets), seconds_max=ALL_SECONDS_MAX
        )
        if ended.status != 0:
            return [ended.errors] * len(aims)
        return [done.get("text") or done.get("error", "") for done in json.loads(ended.output)]

    return calls


def _known(server: Server) -> str | None:
    """What a client is told that would not wait long enough for a server to start."""
    if server.url is not None:
        return None
    return "modern" if server.is_modern else "legacy"


CALLERS = [
    Caller("python", "Python `mcp`", python("auto")),
    Caller("python-legacy", "Python `mcp`, sessions", python("legacy")),
    Caller("python-sse", "Python `mcp`, HTTP+SSE", one_by_one(_python_sse), path="sse"),
    Caller("typescript", "TypeScript", typescript("legacy")),
    Caller("typescript-auto", "TypeScript, auto", typescript("auto")),
    Caller("typescript-sse", "TypeScript, HTTP+SSE", typescript("legacy"), path="sse"),
    Caller("rust", "Rust `rmcp`", all_at_once(_rust)),
    Caller("inspector", "Inspector", inspector("legacy"), only_listed=True),
    Caller(
        "inspector-modern",
        "Inspector, modern",
        inspector("modern"),
        only_modern=True,
        only_listed=True,
    ),
    Caller("fastmcp", "FastMCP", one_by_one(_fastmcp)),
]
"""Every client; `auto` ones ask for 2026-07-28 first, as do Python's, Rust's and FastMCP's by themselves."""

LOCAL_CALLERS = [
    caller
    for caller in CALLERS
    if caller.name in {"python", "typescript", "rust", "inspector", "fastmcp"}
]
"""Those that start local servers, each with its usual revision first."""

SECURE_CALLERS = [
    *(caller for caller in CALLERS if caller.name != "rust"),
    Caller("python-h2", "Python `mcp`, HTTP/2", python("auto", http="HTTP/2")),
    Caller("typescript-h2", "TypeScript, auto, HTTP/2", typescript("auto", http="h2")),
]
"""Those that speak TLS here. The Rust client is built without it."""
