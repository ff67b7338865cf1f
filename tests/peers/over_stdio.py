"""Scenarios: local server programs behind `countersign serve`, used by clients over HTTP."""

from __future__ import annotations

import json
from functools import partial

import anyio
from mcp import Client

import clients
import everything
import repository
from gateway import Gateway
from over_http import SESSION
from stage import Stage, check, equal

CLIENTS = 4


async def stdio_inspector(stage: Stage) -> None:
    """The Inspector lists and calls tools of a local program."""
    gateway = await Gateway.started(stage, command=everything.command(stage))
    common = ["--header", f"Authorization: Bearer {gateway.token()}", "--method"]
    listed = await clients.inspector_result(stage, [gateway.url], *common, "tools/list")
    check("echo" in {tool["name"] for tool in listed["tools"]}, f"tools: {listed}")
    call = ["tools/call", "--tool-name", "echo", "--tool-arg", "message=hi"]
    said = await clients.inspector_result(stage, [gateway.url], *common, *call)
    equal(said["content"], [{"type": "text", "text": "Echo: hi"}], "echo")
    await gateway.expect(
        """
2 x issuer/agent initialize permit ok
2 x issuer/agent notifications/initialized permit accepted
2 x issuer/agent http/get permit ok
2 x issuer/agent logging/setLevel permit ok
2 x issuer/agent tools/list permit ok
issuer/agent tools/call echo permit ok
? upstream/peer to-client/roots/list permit ok
? upstream/peer to-client/roots/list permit unknown
"""
    )


async def stdio_python_auto(stage: Stage) -> None:
    """The Python client falls back to the revision of a local program, and uses everything."""
    probe = "issuer/agent server/discover permit protocol-error\n"
    await _python(stage, mode="auto", also=probe)


async def stdio_python_legacy(stage: Stage) -> None:
    """The Python client, speaking 2025-11-25, uses everything that a local program offers."""
    await _python(stage, mode="legacy", also="")


async def _python(stage: Stage, *, mode: str, also: str) -> None:
    gateway = await Gateway.started(stage, command=everything.command(stage))
    connect = partial(clients.over_http, gateway.url, gateway.token(), mode=mode)
    await everything.tour(connect)
    await gateway.expect(also + (SESSION + everything.TOUR).format(who="issuer/agent"))


async def stdio_environment(stage: Stage) -> None:
    """A local program gets none of the gateway's own variables but the usual few."""
    gateway = await Gateway.make(stage, command=everything.command(stage))
    policy = gateway.directory / "policy" / "main.cedar"
    policy.write_text(policy.read_text().replace("get-env", "another-tool"))
    await gateway.start()
    async with clients.over_http(gateway.url, gateway.token(), mode="legacy") as client:
        variables = json.loads(await everything.said(client, "get-env"))
    # What Node adds by itself is no concern of ours.
    equal(set(variables) - {"HOME", "LANG", "PATH", "TMPDIR", "USER"}, set(), "variables")
    await gateway.expect(
        SESSION.format(who="issuer/agent")
        + """
issuer/agent tools/list permit ok
issuer/agent tools/call get-env permit ok
"""
    )


async def git_python_modern(stage: Stage) -> None:
    """The Python client speaks 2026-07-28 with a server of that revision."""
    path = await repository.make(stage)
    gateway = await Gateway.started(stage, command=repository.server(stage, path))
    async with clients.over_http(gateway.url, gateway.token(), mode="auto") as client:
        equal(client.protocol_version, "2026-07-28", "negotiated revision")
        tools = {tool.name for tool in (await client.list_tools()).tools}
        check({"git_status", "git_log"} <= tools, f"tools: {tools}")
        status = await everything.said(client, "git_status", repo_path=str(path))
        check("new.txt" in status, f"status: {status}")
        wrong = await client.call_tool("git_status", {"repo_path": "/nowhere"})
        check(wrong.is_error is True, f"status of nothing: {wrong}")
    records = await gateway.expect(
        """
issuer/agent server/discover permit ok
issuer/agent tools/list permit ok
issuer/agent tools/call git_status permit ok
issuer/agent tools/call git_status permit tool-error
"""
    )
    equal({r["protocol"] for r in records}, {"2026-07-28"}, "revisions on record")


async def git_python_concurrent(stage: Stage) -> None:
    """Several clients at once, with the same message ids, each get their own answers."""
    path = await repository.make(stage)
    gateway = await Gateway.started(stage, command=repository.server(stage, path))
    async with anyio.create_task_group() as group:
        for number in range(CLIENTS):
            group.start_soon(_ask_for_logs, gateway, str(path), f"agent-{number}")
    wanted = """
{who} server/discover permit ok
{who} tools/list permit ok
{calls} x {who} tools/call git_log permit ok
"""
    await gateway.expect(
        "".join(
            wanted.format(who=f"issuer/agent-{number}", calls=repository.COMMITS)
            for number in range(CLIENTS)
        )
    )


async def _ask_for_logs(gateway: Gateway, path: str, subject: str) -> None:
    async with clients.over_http(gateway.url, gateway.token(subject)) as client:
        await client.list_tools()
        async with anyio.create_task_group() as group:
            for count in range(1, repository.COMMITS + 1):
                group.start_soon(_ask_for_log, client, path, count)


async def _ask_for_log(client: Client, path: str, count: int) -> None:
    log = await everything.said(client, "git_log", repo_path=path, max_count=count)
    shown = [repository.subject(n) in log for n in range(1, repository.COMMITS + 1)]
    equal(shown.count(True), count, f"commits shown in {log!r}")


async def git_inspector_modern(stage: Stage) -> None:
    """The Inspector, told to speak 2026-07-28, calls a tool."""
    path = await repository.make(stage)
    gateway = await Gateway.started(stage, command=repository.server(stage, path))
    said = await clients.inspector_result(
        stage,
        [gateway.url],
        *("--protocol-era", "modern", "--header", f"Authorization: Bearer {gateway.token()}"),
        *("--method", "tools/call", "--tool-name", "git_status"),
        *("--tool-arg", f"repo_path={path}"),
    )
    check("new.txt" in json.dumps(said), f"status: {said}")
    await gateway.expect(
        """
issuer/agent server/discover permit ok
+ issuer/agent tools/list permit ok
issuer/agent tools/call git_status permit ok
"""
    )
