"""Scenarios: several servers behind one endpoint of `countersign serve`."""

from __future__ import annotations

from pathlib import Path

from mcp import Client, MCPError

import clients
import everything
import repository
import trail
from gateway import Gateway
from stage import Program, Stage, check, equal

RESOURCE = "peer+demo://resource/static/document/features.md"


async def federation_python_auto(stage: Stage) -> None:
    """The Python client speaks 2026-07-28 with servers of both eras as one."""
    await _tour(stage, mode="auto", revision="2026-07-28")


async def federation_python_legacy(stage: Stage) -> None:
    """The Python client, speaking 2025-11-25, uses three servers as one."""
    await _tour(stage, mode="legacy", revision="2025-11-25")


async def federation_python_modern(stage: Stage) -> None:
    """The Python client speaks 2026-07-28 with two servers of that revision as one."""
    path = await repository.make(stage)
    gateway = await Gateway.make(stage, command=repository.server(stage, path))
    _add(gateway, "other", repository.server(stage, path))
    await gateway.start()
    async with clients.over_http(gateway.url, gateway.token(), mode="auto") as client:
        equal(client.protocol_version, "2026-07-28", "negotiated revision")
        tools = {tool.name for tool in (await client.list_tools()).tools}
        check({"peer__git_status", "other__git_status"} <= tools, f"tools: {tools}")
        status = await everything.said(client, "other__git_status", repo_path=str(path))
        check("new.txt" in status, f"status: {status}")
    records = await gateway.expect(
        """
2 x issuer/agent server/discover permit ok
2 x issuer/agent tools/list permit ok
issuer/agent tools/call git_status permit ok
"""
    )
    equal({r["protocol"] for r in records}, {"2026-07-28"}, "revisions on record")
    check(all("root" in record for record in records), "a call without a root")


async def _tour(stage: Stage, *, mode: str, revision: str) -> None:
    path = await repository.make(stage)
    server, url = await everything.start(stage)
    gateway = await Gateway.make(stage, url=url)
    files = [stage.node, stage.package("server-filesystem/dist/index.js"), str(path)]
    _add(gateway, "files", files)
    _add(gateway, "git", repository.server(stage, path))
    await gateway.start()
    async with clients.over_http(gateway.url, gateway.token(), mode=mode) as client:
        equal(client.protocol_version, revision, "negotiated revision")
        await _use(client, path)
        await _lose(client, server)
    await gateway.stop()
    records = await trail.read(stage, gateway.log)
    calls = [r for r in records if r["resource"]["method"] == "tools/call"]
    servers = {r["resource"]["server"] for r in calls}
    spoken = {r.get("protocol") for r in calls if r["resource"]["server"] == "files"}
    equal(spoken, {"2025-11-25"}, "revision of a server of the older era")
    equal(servers, {"peer", "files", "git", "*"}, "servers of calls on record")
    asked = [r for r in records if r["direction"] == "to-server" and r["kind"] != "call.refused"]
    check(all("root" in record for record in asked), "a call without a root")


async def _use(client: Client, path: Path) -> None:
    tools = {tool.name for tool in (await client.list_tools()).tools}
    check({"peer__echo", "files__read_text_file", "git__git_status"} <= tools, f"tools: {tools}")
    equal(await everything.said(client, "peer__echo", message="hi"), "Echo: hi", "echo")
    status = await everything.said(client, "git__git_status", repo_path=str(path))
    check("new.txt" in status, f"status: {status}")
    notes = str(path / "notes.txt")
    said = await everything.said(client, "files__read_text_file", path=notes)
    check(f"note {repository.COMMITS}" in said, f"notes: {said}")
    resources = {str(resource.uri) for resource in (await client.list_resources()).resources}
    check(RESOURCE in resources, f"resources: {resources}")
    read = await client.read_resource(RESOURCE)
    equal(str(read.contents[0].uri), RESOURCE, "what was read")
    try:
        await client.call_tool("nobody__echo", {"message": "hi"})
    except MCPError as error:
        equal(error.error.code, -32602, "code of a name of nobody")
    else:
        check(False, "a name of nobody was called")


async def _lose(client: Client, server: Program) -> None:
    """One server ends; the others go on."""
    server.stop()
    tools = {tool.name for tool in (await client.list_tools()).tools}
    check("files__read_text_file" in tools, f"tools: {tools}")
    check("peer__echo" not in tools, f"tools of a server that ended: {tools}")


def _add(gateway: Gateway, name: str, command: list[str]) -> None:
    """Another server beside those before."""
    path = gateway.directory / "countersign.toml"
    text = path.read_text().replace("\n[server]\n", "\n[[server]]\n")
    words = ", ".join(f'"{word}"' for word in command)
    path.write_text(f'{text}\n[[server]]\nname = "{name}"\ncommand = [{words}]\n')
