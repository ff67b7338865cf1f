"""Scenarios: `countersign wrap` as the local server that a client starts, the real one behind it."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import clients
import everything
import gateway
import repository
import trail
from stage import Stage, check, equal

NAME = "peer"


def _wrap(stage: Stage, command: list[str]) -> list[str]:
    """The command with `countersign wrap` before it."""
    options = ["--name", NAME, "--data", str(stage.directory / "wrap"), "--"]
    return [str(stage.binary), "wrap", *options, *command]


async def _expect(stage: Stage, wanted: str) -> None:
    """The trail must be this, of a local user; the log must verify."""
    log = stage.directory / "wrap" / "log"
    records = await trail.read(stage, log)
    callers = {r["actor"]["id"] for r in records if r["direction"] == "to-server"}
    equal(len(callers), 1, "callers on record")
    who = f"local/{callers.pop()}"
    trail.expect(records, wanted.format(who=who))
    await gateway.verify(stage, log, stage.directory / "wrap" / "keys" / "log.key.pub")


def _files(stage: Stage) -> tuple[Path, list[str]]:
    """A folder with one file, and `server-filesystem` (npm) for it."""
    folder = stage.directory / "files"
    folder.mkdir()
    (folder / "hello.txt").write_text("hello, grüße\n")
    return folder, [stage.node, stage.package("server-filesystem/dist/index.js"), str(folder)]


async def wrap_filesystem_python(stage: Stage) -> None:
    """The Python client with a server that speaks 2025-11-25."""
    folder, server = _files(stage)
    async with clients.over_stdio(stage, _wrap(stage, server)) as client:
        equal(client.protocol_version, "2025-11-25", "negotiated revision")
        tools = {tool.name for tool in (await client.list_tools()).tools}
        check({"read_text_file", "write_file"} <= tools, f"tools: {tools}")
        text = await everything.said(client, "read_text_file", path=str(folder / "hello.txt"))
        equal(text, "hello, grüße\n", "file")
        await everything.said(client, "write_file", path=str(folder / "new.txt"), content="new")
        outside = await client.call_tool("read_text_file", {"path": "/etc/hostname"})
        check(outside.is_error is True, f"file outside the folder: {outside}")
    equal((folder / "new.txt").read_text(), "new", "file written")
    await _expect(
        stage,
        """
{who} server/discover permit protocol-error
{who} initialize permit ok
{who} notifications/initialized permit accepted
{who} tools/list permit ok
{who} tools/call read_text_file permit ok
{who} tools/call write_file permit ok
{who} tools/call read_text_file permit tool-error
""",
    )


async def wrap_everything_python(stage: Stage) -> None:
    """The Python client uses everything; the server asks the client over standard output."""
    server = _wrap(stage, everything.command(stage))
    await everything.tour(partial(clients.over_stdio, stage, server, mode="legacy"))
    session = """
{who} initialize permit ok
{who} notifications/initialized permit accepted
"""
    await _expect(stage, session + everything.TOUR)


async def wrap_git_python(stage: Stage) -> None:
    """The Python client with a server that speaks 2026-07-28, twice with the same log."""
    path = await repository.make(stage)
    server = _wrap(stage, repository.server(stage, path))
    for _ in range(2):
        async with clients.over_stdio(stage, server) as client:
            equal(client.protocol_version, "2026-07-28", "negotiated revision")
            status = await everything.said(client, "git_status", repo_path=str(path))
            check("new.txt" in status, f"status: {status}")
    await _expect(
        stage,
        """
2 x {who} server/discover permit ok
2 x {who} tools/list permit ok
2 x {who} tools/call git_status permit ok
""",
    )


async def wrap_filesystem_inspector(stage: Stage) -> None:
    """The Inspector with a local server that speaks 2025-11-25."""
    folder, server = _files(stage)
    said = await clients.inspector_result(
        stage,
        _wrap(stage, server),
        *("--method", "tools/call", "--tool-name", "read_text_file"),
        *("--tool-arg", f"path={folder / 'hello.txt'}"),
    )
    check("hello, grüße" in json.dumps(said, ensure_ascii=False), f"file: {said}")
    await _expect(
        stage,
        """
{who} initialize permit ok
{who} notifications/initialized permit accepted
{who} tools/list permit ok
{who} tools/call read_text_file permit ok
? upstream/peer to-client/roots/list permit ok
? upstream/peer to-client/roots/list permit unknown
""",
    )


async def wrap_git_inspector(stage: Stage) -> None:
    """The Inspector with a local server that speaks 2026-07-28."""
    path = await repository.make(stage)
    said = await clients.inspector_result(
        stage,
        _wrap(stage, repository.server(stage, path)),
        *("--protocol-era", "modern", "--method", "tools/call"),
        *("--tool-name", "git_status", "--tool-arg", f"repo_path={path}"),
    )
    check("new.txt" in json.dumps(said), f"status: {said}")
    await _expect(
        stage,
        """
{who} server/discover permit ok
{who} tools/list permit ok
{who} tools/call git_status permit ok
""",
    )


async def wrap_exit_status(stage: Stage) -> None:
    """A server that ends by itself ends the wrap, with its exit status."""
    # The client, which is this end of the pipe, stays.
    input_end, client_end = os.pipe()
    try:
        server = [stage.node, "-e", "process.exit(7)"]
        ended = await stage.run(*_wrap(stage, server), standard_input=input_end)
    finally:
        os.close(input_end)
        os.close(client_end)
    equal(ended.status, 7, f"exit status ({ended.errors})")
