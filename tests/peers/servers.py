"""The servers of the matrix: reference servers of npm and PyPI, servers on the official SDKs and our own
fixture, each with one call whose answer is known. Knows no clients and no gateway.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import database
import everything
import fixture
import repository
from certificates import Authority
from stage import Program, Stage

GREETING = "hello, grüße"

HERE = Path(__file__).parent


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
    settings: str = ""
    """More of its table in the configuration of the gateway."""
    is_modern: bool = False
    """Whether it speaks 2026-07-28."""

    @property
    def transport(self) -> str:
        """How it is reached."""
        if self.url is None:
            return "stdio"
        return "HTTP+SSE" if self.url.endswith("/sse") else "Streamable HTTP"


@asynccontextmanager
async def all_of(stage: Stage) -> AsyncIterator[list[Server]]:
    """Everything there is; those over HTTP are running."""
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(database.running(stage))
        yield [
            await everything_http(stage),
            await everything_sse(stage),
            _everything_stdio(stage),
            _filesystem(stage),
            _memory(stage),
            _sequential_thinking(stage),
            _postgres(stage, address),
            await _postgres_mcp(stage, address),
            await _git(stage),
            _time(stage),
            await _fetch(stage),
            _sqlite(stage),
            await python_sdk(stage),
            await python_sdk_sse(stage),
            (await typescript_sdk(stage))[0],
            await fixture_http(stage),
            fixture_stdio(stage),
        ]


async def everything_http(stage: Stage) -> Server:
    """The reference server over Streamable HTTP."""
    _, url = await everything.start(stage)
    arguments = {"message": GREETING}
    return Server(
        "everything", "server-everything", "echo", f"Echo: {GREETING}", arguments, url=url
    )


async def everything_sse(stage: Stage) -> Server:
    """The reference server over HTTP+SSE."""
    _, url = await everything.start(stage, transport="sse")
    return Server(
        name="everything-sse",
        title="server-everything",
        tool="echo",
        answer=f"Echo: {GREETING}",
        arguments={"message": GREETING},
        url=url,
        settings='transport = "sse"\n',
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


async def _postgres_mcp(stage: Stage, address: str) -> Server:
    port = stage.free_port()
    program = stage.start(
        "postgres-mcp",
        *(str(stage.peers / "postgres" / "bin" / "python"), str(HERE / "postgres" / "main.py")),
        *("--access-mode", "restricted", "--transport", "sse"),
        *("--sse-host", "127.0.0.1", "--sse-port", str(port), address),
    )
    await stage.listening(program, port)
    return Server(
        name="postgres-mcp",
        title="postgres-mcp",
        tool="execute_sql",
        answer="42",
        arguments={"sql": "SELECT 40 + 2 AS answer"},
        url=f"http://127.0.0.1:{port}/sse",
        settings='transport = "sse"\n',
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


async def python_sdk(stage: Stage, authority: Authority | None = None) -> Server:
    """A server on the Python SDK; with an authority over TLS, for clients with a certificate."""
    return Server(
        name="python-sdk",
        title="Python SDK",
        tool="double",
        answer="twice 21 is 42",
        arguments={"number": 21},
        url=await _start_python_sdk(stage, "streamable-http", authority),
        settings=_tls(authority),
        is_modern=True,
    )


async def python_sdk_sse(stage: Stage, authority: Authority | None = None) -> Server:
    """The same over HTTP+SSE."""
    return Server(
        name="python-sdk-sse",
        title="Python SDK",
        tool="double",
        answer="twice 21 is 42",
        arguments={"number": 21},
        url=await _start_python_sdk(stage, "sse", authority),
        settings='transport = "sse"\n' + _tls(authority),
    )


async def _start_python_sdk(stage: Stage, transport: str, authority: Authority | None) -> str:
    port = stage.free_port()
    name = f"python-sdk-{transport}"
    program = stage.start(
        name,
        *(stage.python_program("python"), str(HERE / "sdk_server.py"), transport, str(port)),
        *_certificate(name, authority),
    )
    await stage.listening(program, port)
    scheme, path = "https" if authority else "http", "sse" if transport == "sse" else "mcp"
    return f"{scheme}://127.0.0.1:{port}/{path}"


async def typescript_sdk(
    stage: Stage, authority: Authority | None = None
) -> tuple[Server, Program]:
    """A server on the TypeScript SDK; with an authority over TLS, for clients with a certificate. It says
    which HTTP its requests come by.
    """
    port = stage.free_port()
    program = stage.start(
        "typescript-sdk",
        *(stage.node, str(HERE / "sdk_server.cjs"), str(port)),
        *_certificate("typescript-sdk", authority),
    )
    await stage.listening(program, port)
    server = Server(
        name="typescript-sdk",
        title="TypeScript SDK",
        tool="double",
        answer="twice 21 is 42",
        arguments={"number": 21},
        url=f"{'https' if authority else 'http'}://127.0.0.1:{port}/mcp",
        settings=_tls(authority),
        is_modern=True,
    )
    return server, program


def _certificate(name: str, authority: Authority | None) -> list[str]:
    """What a server shows, and whom it trusts."""
    if authority is None:
        return []
    pair = authority.server(name)
    return [str(pair.certificate), str(pair.key), str(authority.roots)]


def _tls(authority: Authority | None) -> str:
    """What the gateway shows to a server, and whom it trusts."""
    if authority is None:
        return ""
    pair = authority.client("gateway")
    files = {"roots": authority.roots, "certificate": pair.certificate, "key": pair.key}
    lines = [f'{name} = "{path}"\n' for name, path in files.items()]
    return "[server.tls]\n" + "".join(lines)


async def fixture_http(stage: Stage) -> Server:
    """Our fixture over Streamable HTTP."""
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


def fixture_stdio(stage: Stage) -> Server:
    """Our fixture as a local server."""
    return Server(
        name="fixture-stdio",
        title="conformance fixture",
        tool="greet",
        answer="Hello, Jane!",
        arguments={"name": "Jane"},
        command=tuple(fixture.command(stage)),
        is_modern=True,
    )
