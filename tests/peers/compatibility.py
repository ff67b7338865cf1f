"""Scenarios: every client with every server, through the gateway; every call is found on record. What came
out is held against `docs/compatibility.md`, or written there.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path

import gateway
import servers
import trail
from certificates import Authority
from gateway import Gateway
from matrix import CALLERS, LOCAL_CALLERS, SECURE_CALLERS, Aim, Caller
from page import publish, table
from servers import Server
from stage import Stage, check, equal

CLIENTS_AT_ONCE = 3

HERE = Path(__file__).parent

PYPI = ["fastmcp", "mcp", *(f"mcp-server-{name}" for name in ("fetch", "git", "sqlite", "time"))]
PYPI += ["postgres-mcp"]

FORBIDDEN = """
@id("nobody-greets")
forbid (
  principal,
  action == Action::"tools/call",
  resource == Tool::"forbidden/greet"
);
"""

Aiming = Callable[[Caller, Server], Aim]

Cells = dict[tuple[str, str], str]
"""For a server and a client, the revision of their call on record."""


async def compatibility_http(stage: Stage) -> None:
    """Every client calls a tool of every server over HTTP, behind one gateway."""
    async with servers.all_of(stage) as all_servers:
        problems: list[str] = []
        front = await Gateway.make_for(stage, all_servers)
        cells = await _over_http(stage, front, CALLERS, all_servers, problems)
        check(not problems, "\n  ".join(problems))
        publish(stage, "over-http", _table(all_servers, CALLERS, cells))
        publish(stage, "versions", _versions())


async def compatibility_local(stage: Stage) -> None:
    """Clients that start their servers themselves call a tool of every one, local or over Streamable HTTP,
    wrapped.
    """
    async with servers.all_of(stage) as all_servers:
        problems: list[str] = []
        wrapped = [server for server in all_servers if server.transport != "HTTP+SSE"]
        cells = await _wrapped(stage, wrapped, problems)
        check(not problems, "\n  ".join(problems))
        publish(stage, "local", _table(wrapped, LOCAL_CALLERS, cells))


async def compatibility_together(stage: Stage) -> None:
    """Every client calls tools of several servers at the endpoint of all, whichever era either speaks."""
    problems: list[str] = []
    lines = []
    newer = [await servers.python_sdk(stage), await servers.fixture_http(stage)]
    newer += [(await servers.typescript_sdk(stage))[0], servers.fixture_stdio(stage)]
    older = [await servers.everything_http(stage), await servers.python_sdk_sse(stage)]
    # Clients of HTTP+SSE are left to the tests of the gateway.
    callers = [caller for caller in CALLERS if caller.path == "mcp"]
    for name, members in (("of 2026-07-28", newer), ("of both eras", [*older, *newer[2:]])):
        # The gateway is what clients speak to.
        members = [dataclasses.replace(server, is_modern=True) for server in members]
        front = await Gateway.make_for(stage, members, folder=name.replace(" ", "-"))
        # How busy this machine is must not decide who is there.
        front.add_to_config("\n[limits]\nmember_timeout_ms = 60000\n")
        cells = await _over_http(stage, front, callers, members, problems, together=True)
        lines += _table(members, callers, cells, name).splitlines()[0 if not lines else 2 :]
    check(not problems, "\n  ".join(problems))
    publish(stage, "together", "\n".join(lines))


async def compatibility_tls(stage: Stage) -> None:
    """Every client calls servers that ask for a certificate, over TLS on both sides of the gateway."""
    authority = Authority(stage.directory / "authority")
    typescript_sdk, program = await servers.typescript_sdk(stage, authority)
    some = [
        await servers.python_sdk(stage, authority),
        await servers.python_sdk_sse(stage, authority),
        typescript_sdk,
    ]
    front = await Gateway.make_for(stage, some)
    front.secure(authority)
    # For those that are programs of their own; the others are told each by itself.
    stage.environment["NODE_EXTRA_CA_CERTS"] = str(authority.roots)
    problems: list[str] = []
    cells = await _over_http(stage, front, SECURE_CALLERS, some, problems)
    check(not problems, "\n  ".join(problems))
    spoken = {line for line in program.output().splitlines() if line.startswith("HTTP/")}
    equal(spoken, {"HTTP/2.0"}, "HTTP that came to a server that speaks both versions")
    publish(stage, "tls", _table(some, SECURE_CALLERS, cells))


async def compatibility_outcomes(stage: Stage) -> None:
    """Every client makes calls that do not succeed: it learns why, and the record says the same."""
    served = await servers.fixture_http(stage)
    kinds = {
        "a tool that fails": ("fails", "test_error_handling", "intentionally", "tool-error"),
        "a tool that is not there": ("missing", "no_such_tool", "no_such_tool", "protocol-error"),
        "a tool that policy forbids": ("forbidden", "greet", "no policy permits", "policy.forbid"),
    }
    some = [
        dataclasses.replace(
            served, name=name, title=title, tool=tool, answer=answer, arguments={"name": "Jane"}
        )
        for title, (name, tool, answer, _) in kinds.items()
    ]
    front = await Gateway.make_for(stage, some)
    front.add_to_policy(FORBIDDEN)
    problems: list[str] = []
    records = await _recorded(stage, front, CALLERS, some, problems)
    for server, caller in _pairs(CALLERS, some):
        is_silent = caller.only_listed and server.name == "missing"
        wanted = [] if is_silent else [kinds[server.title][-1]]
        outcomes = [trail.outcome(call) for call in _of(records, server, caller)]
        if outcomes != wanted:
            problems.append(f"{caller.name}, {server.name}: on record is {outcomes}")
    check(not problems, "\n  ".join(problems))
    rows = [[title, f"`{kinds[title][-1]}`"] for title in kinds]
    publish(stage, "outcomes", table(["call", "on record"], rows))


async def _over_http(
    stage: Stage,
    front: Gateway,
    callers: list[Caller],
    some: list[Server],
    problems: list[str],
    *,
    together: bool = False,
) -> Cells:
    """A call of each client to each server: the revision on record."""
    records = await _recorded(stage, front, callers, some, problems, together=together)
    return {
        (server.name, caller.name): _revision(
            _of(records, server, caller), f"{caller.name} {server.name}", problems
        )
        for server, caller in _pairs(callers, some)
    }


async def _recorded(
    stage: Stage,
    front: Gateway,
    callers: list[Caller],
    some: list[Server],
    problems: list[str],
    *,
    together: bool = False,
) -> list[trail.Record]:
    """All servers behind one gateway, each by itself or together; each client has a token of its own.
    What is on record of their calls.
    """
    await front.start()

    def aim(caller: Caller, server: Server) -> Aim:
        where = "" if together else f"/s/{server.name}"
        url = f"{front.origin}{where}/{caller.path}"
        prefix = f"{server.name}__" if together else ""
        token = front.token(caller.name)
        return Aim(server, url=url, token=token, roots=front.roots, prefix=prefix)

    await _call_all(stage, callers, some, aim, problems)
    await front.stop()
    await gateway.verify(stage, front.log, front.directory / "keys" / "log.key.pub")
    return await trail.read(stage, front.log)


def _of(records: list[trail.Record], server: Server, caller: Caller) -> list[trail.Record]:
    """The calls of a client to tools of a server."""
    return [
        record for record in _tool_calls(records, server) if record["actor"]["id"] == caller.name
    ]


async def _wrapped(stage: Stage, some: list[Server], problems: list[str]) -> Cells:
    """A `countersign wrap` and a log for each pair, as each client starts it."""

    def data(caller: Caller, server: Server) -> Path:
        return stage.directory / "wrap" / f"{caller.name}-{server.name}"

    def aim(caller: Caller, server: Server) -> Aim:
        options = ["--name", server.name, "--data", str(data(caller, server))]
        how = ["--url", server.url] if server.url else ["--", *server.command]
        return Aim(server, command=(str(stage.binary), "wrap", *options, *how))

    await _call_all(stage, LOCAL_CALLERS, some, aim, problems)
    cells: Cells = {}
    for server, caller in _pairs(LOCAL_CALLERS, some):
        folder = data(caller, server)
        await gateway.verify(stage, folder / "log", folder / "keys" / "log.key.pub")
        mine = _tool_calls(await trail.read(stage, folder / "log"), server)
        what = f"{caller.name} wrapped {server.name}"
        cells[server.name, caller.name] = _revision(mine, what, problems)
    return cells


def _pairs(callers: list[Caller], some: list[Server]) -> list[tuple[Server, Caller]]:
    return [(server, caller) for server in some for caller in callers if caller.reaches(server)]


async def _call_all(
    stage: Stage, callers: list[Caller], some: list[Server], aim: Aiming, problems: list[str]
) -> None:
    at_once = asyncio.Semaphore(CLIENTS_AT_ONCE)

    async def calls(caller: Caller) -> None:
        mine = [server for server in some if caller.reaches(server)]
        async with at_once:
            said = await caller.calls(stage, [aim(caller, server) for server in mine])
        for server, text in zip(mine, said, strict=True):
            if server.answer not in text:
                problems.append(f"{caller.name}, {server.name}: {text[:600]}")

    await asyncio.gather(*map(calls, callers))


def _tool_calls(records: list[trail.Record], server: Server) -> list[trail.Record]:
    return [
        record
        for record in records
        if record.get("resource", {}).get("method") == "tools/call"
        and record["resource"]["server"] == server.name
    ]


def _revision(calls: list[trail.Record], what: str, problems: list[str]) -> str:
    """The revision of the one call that must be there, with a good outcome."""
    if [(trail.outcome(call), call["kind"]) for call in calls] != [("ok", "call.asked")]:
        problems.append(f"{what}: on record are {[trail.line(call) for call in calls]}")
        return "?"
    return str(calls[0].get("protocol", "?"))


def _table(
    some: list[Server], callers: list[Caller], cells: Cells, together: str | None = None
) -> str:
    first = [] if together is None else [together]
    head = ["servers"] * len(first) + ["server", "transport", *(c.title for c in callers)]
    rows = [
        [*first, server.title, server.transport]
        + [cells.get((server.name, caller.name), "–") for caller in callers]
        for server in some
    ]
    return table(head, rows)


def _versions() -> str:
    npm = json.loads((HERE / "package.json").read_text())["dependencies"]
    files = ["requirements.txt", "sqlite/requirements.txt", "postgres/server.txt"]
    pypi = "".join((HERE / file).read_text() for file in files)
    crates = (HERE / "fixture" / "Cargo.toml").read_text()
    lines = [f"- npm `{name}` {version}" for name, version in sorted(npm.items())]
    for name in PYPI:
        # The first is the one of the clients and of all servers but one.
        version = re.search(rf"^{name}==(.*)$", pypi, re.M)
        lines.append(f"- PyPI `{name}` {version and version[1]}")
    rmcp = re.search(r'^rmcp = .*?version = "=(.*?)"', crates, re.M)
    return "\n".join([*lines, f"- crates.io `rmcp` {rmcp and rmcp[1]}"])
