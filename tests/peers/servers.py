"""The servers of the matrix: reference servers of npm and PyPI and our own fixture, each with one call whose
answer is known. Knows no clients and no gateway.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import database
import everything
import fixture
import repository
from stage import Stage

GREETING = "hello, grüße"


@dataclass(frozen=True)
class Server:
    """A server and a call to it."""

    name: str
    """In the configuration of the gateway and on record."""
    title: str
    tool: str
    answer: str
    """Part of what the tool says."""
    arguments: dict[str, Any] = field(default_factory=dict)
    url: str | None = None
    command: tuple[str, ...] = ()
    is_modern: bool = False
    """Whether it speaks 2026-07-28."""

    @property
    def transport(self) -> str:
        """How it is reached."""
        return "Streamable HTTP" if self.url else "stdio"


@asynccontextmanager
async def all_of(stage: Stage) -> AsyncIterator[list[Server]]:
    """Everything there is; those over HTTP are running."""
    async with AsyncExitStack() as stack:
        yield [
            await _everything_http(stage),
            _everything_stdio(stage),
            _filesystem(stage),
            _memory(stage),
            _sequential_thinking(stage),
            _postgres(stage, await stack.enter_async_context(database.running(stage))),
            await _git(stage),
            _time(stage),
            await _fetch(stage),
            _sqlite(stage),
            await _fixture_http(stage),
            _fixture_stdio(stage),
        ]


async def _everything_http(stage: Stage) -> Server:
    _, url = await everything.start(stage)
    arguments = {"message": GREETING}
    return Server(
        "everything", "server-everything", "echo", f"Echo: {GREETING}", arguments, url=url
    )


def _everything_stdio(stage: Stage) -> Server:
    return Server(
        name="everything-stdio",
        title="server-everything",
        tool="echo",
        answer=f"Echo: {GREETING}",
        arguments={"message": GREETING},
        command=tuple(everything.command(stage)),
    )


def _filesystem(stage: Stage) -> Server:
    folder = stage.directory / "files"
    folder.mkdir()
    (folder / "hello.txt").write_text(GREETING)
    return Server(
        name="filesystem",
        title="server-filesystem",
        tool="read_text_file",
        answer=GREETING,
        arguments={"path": str(folder / "hello.txt")},
        command=(stage.node, stage.package("server-filesystem/dist/index.js"), str(folder)),
    )


def _memory(stage: Stage) -> Server:
    # By itself it would write into its own package.
    file = f"MEMORY_FILE_PATH={stage.directory / 'memory.jsonl'}"
    program = stage.package("server-memory/dist/index.js")
    return Server(
        name="memory",
        title="server-memory",
        tool="read_graph",
        answer="entities",
        command=("/usr/bin/env", file, stage.node, program),
    )


def _sequential_thinking(stage: Stage) -> Server:
    return Server(
        name="sequential-thinking",
        title="server-sequential-thinking",
        tool="sequentialthinking",
        answer="thoughtHistoryLength",
        arguments={
            "thought": "one and only",
            "nextThoughtNeeded": False,
            "thoughtNumber": 1,
            "totalThoughts": 1,
        },
        command=(stage.node, stage.package("server-sequential-thinking/dist/index.js")),
    )


def _postgres(stage: Stage, address: str) -> Server:
    return Server(
        name="postgres",
        title="server-postgres",
        tool="query",
        answer="42",
        arguments={"sql": "SELECT 40 + 2 AS answer"},
        command=(stage.node, stage.package("server-postgres/dist/index.js"), address),
    )


async def _git(stage: Stage) -> Server:
    path = await repository.make(stage)
    return Server(
        name="git",
        title="mcp-server-git",
        tool="git_status",
        answer="new.txt",
        arguments={"repo_path": str(path)},
        command=tuple(repository.server(stage, path)),
        is_modern=True,
    )


def _time(stage: Stage) -> Server:
    return Server(
        name="time",
        title="mcp-server-time",
        tool="convert_time",
        answer="21:00",
        arguments={"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"},
        command=(stage.python_program("mcp-server-time"), "--local-timezone", "UTC"),
        is_modern=True,
    )


async def _fetch(stage: Stage) -> Server:
    folder = stage.directory / "site"
    folder.mkdir()
    (folder / "page.txt").write_text(GREETING)
    port = stage.free_port()
    site = stage.start(
        "site",
        *(stage.python_program("python"), "-m", "http.server", str(port)),
        *("--bind", "127.0.0.1", "--directory", str(folder)),
    )
    await stage.listening(site, port)
    program = stage.python_program("mcp-server-fetch")
    return Server(
        name="fetch",
        title="mcp-server-fetch",
        tool="fetch",
        answer="hello",
        arguments={"url": f"http://127.0.0.1:{port}/page.txt", "raw": True},
        command=(program, "--allow-private-ips", "--ignore-robots-txt"),
        is_modern=True,
    )


def _sqlite(stage: Stage) -> Server:
    program = str(stage.peers / "sqlite" / "bin" / "mcp-server-sqlite")
    return Server(
        name="sqlite",
        title="mcp-server-sqlite",
        tool="read_query",
        answer="42",
        arguments={"query": "SELECT 40 + 2 AS answer"},
        command=(program, "--db-path", str(stage.directory / "data.sqlite")),
    )


async def _fixture_http(stage: Stage) -> Server:
    _, url = await fixture.start(stage)
    return Server(
        name="fixture",
        title="conformance fixture",
        tool="greet",
        answer="Hello, Jane!",
        arguments={"name": "Jane"},
        url=url,
        is_modern=True,
    )


def _fixture_stdio(stage: Stage) -> Server:
    return Server(
        name="fixture-stdio",
        title="conformance fixture",
        tool="greet",
        answer="Hello, Jane!",
        arguments={"name": "Jane"},
        command=tuple(fixture.command(stage)),
        is_modern=True,
    )
