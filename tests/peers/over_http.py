"""Scenarios: `server-everything` as an HTTP server behind `countersign serve`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import httpx2

import clients
import everything
import tokens
import trail
from gateway import Gateway
from stage import Failed, Stage, check, equal

SESSION = """
{who} initialize permit ok
{who} notifications/initialized permit accepted
{who} http/get permit ok
{who} http/delete permit accepted
"""
"""A legacy session that its client ends."""

ECHO = """
{who} tools/list permit ok
{who} tools/call echo permit ok
"""
"""A call by the Python client, which looks at the list of tools first."""


async def http_inspector(stage: Stage) -> None:
    """The Inspector lists and calls, with a token and with the development key."""
    _, upstream = await everything.start(stage)
    gateway = await Gateway.started(stage, url=upstream)
    for token in (gateway.token(), gateway.key):
        header = ["--header", f"Authorization: Bearer {token}"]
        listed = await clients.inspector_result(
            stage, [gateway.url], *header, "--method", "tools/list"
        )
        check("echo" in {tool["name"] for tool in listed["tools"]}, f"tools: {listed}")
        said = await clients.inspector_result(
            stage,
            [gateway.url],
            *header,
            *("--method", "tools/call", "--tool-name", "echo", "--tool-arg", "message=hi"),
        )
        equal(said["content"], [{"type": "text", "text": "Echo: hi"}], "echo")
    one = """
2 x {who} initialize permit ok
2 x {who} notifications/initialized permit accepted
2 x {who} http/get permit ok
2 x {who} logging/setLevel permit ok
2 x {who} tools/list permit ok
{who} tools/call echo permit ok
"""
    records = await gateway.expect(
        one.format(who="issuer/agent")
        + one.format(who="api-key/first-trial")
        + "? upstream/peer to-client/roots/list permit ok\n"
        + "? upstream/peer to-client/roots/list permit unknown\n"
    )
    calls = [r for r in records if r.get("resource", {}).get("method") == "tools/call"]
    evidence = [r["actor"]["chain"][0]["evidence"]["kind"] for r in calls]
    equal(evidence, ["jwt", "api-key"], "evidence")
    equal(trail.policies(calls[0]), ["agents-do-everything"], "policies")


async def http_python_auto(stage: Stage) -> None:
    """The Python client, which asks for 2026-07-28 first and falls back, uses everything."""
    probe = "issuer/agent server/discover permit protocol-error\n"
    await _python(stage, mode="auto", also=probe)


async def http_python_legacy(stage: Stage) -> None:
    """The Python client, speaking 2025-11-25 from the start, uses everything."""
    await _python(stage, mode="legacy", also="")


async def _python(stage: Stage, *, mode: str, also: str) -> None:
    _, upstream = await everything.start(stage)
    gateway = await Gateway.started(stage, url=upstream)
    connect = partial(clients.over_http, gateway.url, gateway.token(), mode=mode)
    await everything.tour(connect)
    records = await gateway.expect(also + (SESSION + everything.TOUR).format(who="issuer/agent"))
    sessions = {r["session"] for r in records if "session" in r}
    equal(len(sessions), 1, "sessions on record")


async def http_typescript(stage: Stage) -> None:
    """The TypeScript client lists, calls, and is refused what policy forbids."""
    _, upstream = await everything.start(stage)
    gateway = await Gateway.started(stage, url=upstream)
    steps: list[dict[str, Any]] = [
        {"do": "listTools"},
        {"do": "callTool", "with": {"name": "echo", "arguments": {"message": "hi"}}},
        {"do": "callTool", "with": {"name": "get-env", "arguments": {}}},
        {"do": "readResource", "with": {"uri": "demo://resource/dynamic/text/7"}},
        {"do": "ping"},
    ]
    listed, said, refused, read, _ = await clients.typescript(
        stage, gateway.url, gateway.token(), steps
    )
    check("echo" in {tool["name"] for tool in listed["result"]["tools"]}, f"tools: {listed}")
    equal(said["result"]["content"], [{"type": "text", "text": "Echo: hi"}], "echo")
    equal(refused["error"]["code"], 40_300, "code of the refusal")
    equal(refused["error"]["name"], "ProtocolError", "kind of error")
    equal(refused["error"]["data"]["reason"], "policy.forbid", "reason of the refusal")
    check("Resource 7" in json.dumps(read["result"]), f"resource: {read}")
    records = await gateway.expect(
        SESSION.format(who="issuer/agent")
        + """
issuer/agent tools/list permit ok
issuer/agent tools/call echo permit ok
issuer/agent tools/call get-env forbid policy.forbid
issuer/agent resources/read demo://resource/dynamic/text/7 permit ok
issuer/agent ping permit ok
"""
    )
    calls = {r["call"]: trail.policies(r) for r in records}
    equal(
        calls.get(refused["error"]["data"]["callId"]),
        ["nobody-reads-the-environment"],
        "policies of the call that the refusal names",
    )


async def http_token_algorithms(stage: Stage) -> None:
    """Tokens of another JOSE implementation are accepted, whatever they are signed with."""
    _, upstream = await everything.start(stage)
    gateway = await Gateway.make(stage, url=upstream)
    algorithms = ["RS256", "PS256", "ES256", "ES384", "EdDSA"]
    issuers = [tokens.Issuer(algorithm, key_id=f"key-{algorithm}") for algorithm in algorithms]
    tokens.write_key_set(gateway.directory / "keys" / "jwks.json", *issuers)
    await gateway.start()
    for issuer in issuers:
        token = issuer.token(issuer.algorithm, gateway.url)
        async with clients.over_http(gateway.url, token, mode="legacy") as client:
            equal(await everything.said(client, "echo", message="hi"), "Echo: hi", "echo")
    calls = "\n".join(
        (SESSION + ECHO).format(who=f"issuer/{algorithm}") for algorithm in algorithms
    )
    records = await gateway.expect(calls)
    found = {r["actor"]["chain"][0]["evidence"]["alg"] for r in records}
    equal(found, set(algorithms), "algorithms on record")


async def http_resumption(stage: Stage) -> None:
    """A client loses its connection in the middle of a call and comes back for the rest."""
    _, upstream = await everything.start(stage)
    gateway = await Gateway.started(stage, url=upstream)
    async with _session(gateway) as http:
        async with http.stream("POST", gateway.url, json=_long_call(seconds=2)) as answer:
            last_seen = await _until(answer, "notifications/progress")
        await _come_back(http, gateway.url, last_seen)
        await http.delete(gateway.url)
    await gateway.expect(
        """
issuer/agent initialize permit ok
issuer/agent notifications/initialized permit accepted
issuer/agent tools/call trigger-long-running-operation permit ok
+ issuer/agent http/get permit ok
issuer/agent http/delete permit accepted
"""
    )


async def http_delete_under_way(stage: Stage) -> None:
    """Clients end their sessions while calls are under way: these have an end on record too."""
    _, upstream = await everything.start(stage)
    gateway = await Gateway.started(stage, url=upstream)
    async with anyio.create_task_group() as group:
        for _ in range(SESSIONS):
            group.start_soon(_delete_under_way, gateway)
    await gateway.expect(
        f"""
{SESSIONS} x issuer/agent initialize permit ok
{SESSIONS} x issuer/agent notifications/initialized permit accepted
{SESSIONS} x issuer/agent tools/call trigger-long-running-operation permit unknown
{SESSIONS} x issuer/agent http/delete permit accepted
"""
    )


async def _delete_under_way(gateway: Gateway) -> None:
    async with _session(gateway) as http:
        async with http.stream("POST", gateway.url, json=_long_call(seconds=60)) as answer:
            await _until(answer, "notifications/progress")
            await http.delete(gateway.url)


@asynccontextmanager
async def _session(gateway: Gateway) -> AsyncIterator[httpx2.AsyncClient]:
    """A client written out by hand, with an open session."""
    async with clients.http_client(gateway.token()) as http:
        opened = await http.post(gateway.url, json=clients.INITIALIZE, headers=clients.ACCEPT)
        http.headers |= clients.ACCEPT
        http.headers["Mcp-Session-Id"] = opened.headers["mcp-session-id"]
        http.headers["MCP-Protocol-Version"] = "2025-11-25"
        await http.post(gateway.url, json={"jsonrpc": "2.0", "method": "notifications/initialized"})
        yield http


def _long_call(seconds: int) -> dict[str, Any]:
    """A call that tells of its progress ten times a second."""
    return {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "tools/call",
        "params": {
            "name": "trigger-long-running-operation",
            "arguments": {"duration": seconds, "steps": seconds * 10},
            "_meta": {"progressToken": "token"},
        },
    }


async def _come_back(http: httpx2.AsyncClient, url: str, last_seen: str) -> None:
    """This server sends again what happened before the client came back, and nothing that happens
    after: so the client has to come back until all is done.
    """
    headers = {"Last-Event-ID": last_seen}
    for _ in range(COMES_BACK_MAX):
        with anyio.move_on_after(READ_SECONDS):
            async with http.stream("GET", url, headers=headers) as rest:
                await _until(rest, "operation completed")
                return
    raise Failed("the rest of the answer never came")


async def _until(answer: httpx2.Response, wanted: str) -> str:
    """Reads events up to one with this text in it; returns the id of that event."""
    last = ""
    async for line in answer.aiter_lines():
        if line.startswith("id:"):
            last = line.removeprefix("id:").strip()
        if wanted in line:
            return last
    raise Failed(f"the stream ended without `{wanted}`")


COMES_BACK_MAX = 20

READ_SECONDS = 1.0

SESSIONS = 20
