"""Scenarios: every client with every server, through the gateway; every call is found on record. What came
out is held against `docs/compatibility.md`, or written there.
"""

from __future__ import annotations

import asyncio
import difflib
import json
import re
from collections.abc import Callable
from pathlib import Path

import gateway
import servers
import trail
from gateway import Gateway
from matrix import CALLERS, LOCAL_CALLERS, Aim, Caller
from servers import Server
from stage import Stage, check

CLIENTS_AT_ONCE = 3

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "compatibility.md"

PYPI = ["fastmcp", "mcp", *(f"mcp-server-{name}" for name in ("fetch", "git", "sqlite", "time"))]

Aiming = Callable[[Caller, Server], Aim]

Cells = dict[tuple[str, str], str]
"""For a server and a client, the revision of their call on record."""


async def compatibility_http(stage: Stage) -> None:
    """Every client calls a tool of every server over HTTP, behind one gateway."""
    async with servers.all_of(stage) as all_servers:
        problems: list[str] = []
        cells = await _over_http(stage, all_servers, problems)
        check(not problems, "\n  ".join(problems))
        _publish(stage, "over-http", _table(all_servers, CALLERS, cells))
        _publish(stage, "versions", _versions())


async def compatibility_local(stage: Stage) -> None:
    """Clients call a tool of every local server, which they start themselves, wrapped."""
    async with servers.all_of(stage) as all_servers:
        problems: list[str] = []
        local = [server for server in all_servers if server.command]
        cells = await _wrapped(stage, local, problems)
        check(not problems, "\n  ".join(problems))
        _publish(stage, "local", _table(local, LOCAL_CALLERS, cells))


async def _over_http(stage: Stage, all_servers: list[Server], problems: list[str]) -> Cells:
    """All servers behind one gateway; each client has a token of its own."""
    front = await Gateway.make_for(stage, all_servers)
    await front.start()

    def aim(caller: Caller, server: Server) -> Aim:
        url = f"http://127.0.0.1:{front.port}/s/{server.name}/mcp"
        return Aim(server, url=url, token=front.token(caller.name))

    await _call_all(stage, CALLERS, all_servers, aim, problems)
    await front.stop()
    await gateway.verify(stage, front.log, front.directory / "keys" / "log.key.pub")
    records = await trail.read(stage, front.log)
    cells: Cells = {}
    for server, caller in _pairs(CALLERS, all_servers):
        mine = [
            record
            for record in _tool_calls(records, server)
            if record["actor"]["id"] == caller.name
        ]
        cells[server.name, caller.name] = _revision(mine, f"{caller.name} {server.name}", problems)
    return cells


async def _wrapped(stage: Stage, local: list[Server], problems: list[str]) -> Cells:
    """A `countersign wrap` and a log for each pair, as each client starts it."""

    def data(caller: Caller, server: Server) -> Path:
        return stage.directory / "wrap" / f"{caller.name}-{server.name}"

    def aim(caller: Caller, server: Server) -> Aim:
        options = ["--name", server.name, "--data", str(data(caller, server)), "--"]
        return Aim(server, command=(str(stage.binary), "wrap", *options, *server.command))

    await _call_all(stage, LOCAL_CALLERS, local, aim, problems)
    cells: Cells = {}
    for server, caller in _pairs(LOCAL_CALLERS, local):
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


def _publish(stage: Stage, part: str, text: str) -> None:
    """Writes a part of the page between its marks, or holds what is there against it."""
    begin, end = f"<!-- {part} -->\n", f"\n<!-- end of {part} -->"
    before, _, rest = PAGE.read_text().partition(begin)
    committed, _, after = rest.partition(end)
    check(bool(after), f"{PAGE.name} has no part `{part}`")
    if stage.writes_docs:
        PAGE.write_text(before + begin + text + end + after)
        return
    diff = difflib.unified_diff(committed.splitlines(), text.splitlines(), lineterm="", n=0)
    how = "tests/peers/run --write-docs compatibility"
    check(committed == text, "\n".join([*diff, f"{how} writes {PAGE.name} anew"]))


def _table(some: list[Server], callers: list[Caller], cells: Cells) -> str:
    head = ["server", "transport", *(caller.title for caller in callers)]
    rows = [
        [server.title, server.transport]
        + [cells.get((server.name, caller.name), "–") for caller in callers]
        for server in some
    ]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _versions() -> str:
    npm = json.loads((HERE / "package.json").read_text())["dependencies"]
    pypi = (HERE / "requirements.txt").read_text() + (HERE / "sqlite/requirements.txt").read_text()
    crates = (HERE / "fixture" / "Cargo.toml").read_text()
    lines = [f"- npm `{name}` {version}" for name, version in sorted(npm.items())]
    for name in PYPI:
        # The first is the one of the clients and of all servers but one.
        version = re.search(rf"^{name}==(.*)$", pypi, re.M)
        lines.append(f"- PyPI `{name}` {version and version[1]}")
    rmcp = re.search(r'^rmcp = .*?version = "=(.*?)"', crates, re.M)
    return "\n".join([*lines, f"- crates.io `rmcp` {rmcp and rmcp[1]}"])
