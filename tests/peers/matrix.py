"""The clients of the matrix: official and other clients, each calling one tool of each of many servers,
over HTTP or as local programs. Knows no gateway: it is told addresses and commands.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import fastmcp
import mcp.client.session
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport
from mcp import Client

import clients
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
    command: tuple[str, ...] = ()


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
                said.append(f"{type(error).__name__}: {error}")
        return said

    return calls


def python(mode: str) -> Calls:
    """The official Python client."""

    async def call(stage: Stage, aim: Aim) -> str:
        if aim.command:
            connection = clients.over_stdio(stage, list(aim.command), mode=mode)
        else:
            connection = clients.over_http(aim.url, aim.token, mode=mode)
        async with connection as client:
            return await _listed_and_called(client, aim.server)

    return one_by_one(call)


async def _listed_and_called(client: Client | fastmcp.Client[Any], server: Server) -> str:
    await client.list_tools()
    result = await client.call_tool(server.tool, server.arguments)
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
        transport = StreamableHttpTransport(aim.url, headers=clients.bearer(aim.token))
    async with fastmcp.Client(transport, timeout=clients.READ_SECONDS_MAX) as client:
        return await _listed_and_called(client, aim.server)


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
        options += ["--tool-name", aim.server.tool, *given]
        target = list(aim.command) or [aim.url]
        if not aim.command:
            options += ["--header", f"Authorization: Bearer {aim.token}"]
        result = await clients.inspector_result(stage, target, *options)
        return "\n".join(part.get("text", "") for part in result["content"])

    return one_by_one(call)


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def typescript(mode: str) -> Calls:
    """The official TypeScript client, one program for all servers."""

    async def calls(stage: Stage, aims: list[Aim]) -> list[str]:
        targets = [
            {"tool": aim.server.tool, "arguments": aim.server.arguments}
            | ({"command": aim.command} if aim.command else {"url": aim.url, "token": aim.token})
            for aim in aims
        ]
        program = str(clients.TYPESCRIPT.with_name("each.cjs"))
        ended = await stage.run(
            stage.node, program, mode, json.dumps(targets), seconds_max=ALL_SECONDS_MAX
        )
        if ended.status != 0:
            return [ended.errors] * len(aims)
        return [done.get("text") or done.get("error", "") for done in json.loads(ended.output)]

    return calls


CALLERS = [
    Caller("python", "Python `mcp`", python("auto")),
    Caller("python-legacy", "Python `mcp`, sessions", python("legacy")),
    Caller("typescript", "TypeScript", typescript("legacy")),
    Caller("typescript-auto", "TypeScript, auto", typescript("auto")),
    Caller("inspector", "Inspector", inspector("legacy")),
    Caller("inspector-modern", "Inspector, modern", inspector("modern"), only_modern=True),
    Caller("fastmcp", "FastMCP", one_by_one(_fastmcp)),
]
"""Every client; `auto` ones ask for 2026-07-28 first, as do Python's and FastMCP's by themselves."""

LOCAL_CALLERS = [
    caller for caller in CALLERS if caller.name in {"python", "typescript", "inspector", "fastmcp"}
]
"""Those that start local servers, each with its usual revision first."""
