"""Scenarios: what clients see, and what is on record, when the gateway refuses or something breaks."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import anyio
from mcp import Client, MCPError

import clients
import everything
import repository
import tokens
import trail
from gateway import Gateway
from over_http import SESSION
from stage import Failed, Stage, check, equal

LONG = "trigger-long-running-operation"

LONG_SECONDS = 60
"""Of an operation that is never to complete here."""

BROKEN_SECONDS_MAX = 30.0
"""For a client to learn that its call broke."""


async def refused_by_policy(stage: Stage) -> None:
    """The Python client gets a protocol error with the call's id, in both revisions."""
    path = await repository.make(stage)
    gateway = await Gateway.make(stage, command=repository.server(stage, path))
    policy = gateway.directory / "policy" / "main.cedar"
    policy.write_text(policy.read_text().replace("get-env", "git_status"))
    await gateway.start()
    refused = []
    for mode in ("auto", "legacy"):
        async with clients.over_http(gateway.url, gateway.token(), mode=mode) as client:
            await client.list_tools()
            error = await _error(lambda: client.call_tool("git_status", {"repo_path": str(path)}))
            equal(error.code, 40_300, "code")
            equal(error.data["reason"], "policy.forbid", "reason")
            refused.append(error.data["callId"])
            log = await everything.said(client, "git_log", repo_path=str(path))
            check(repository.subject(1) in log, f"call after the refused one: {log}")
    records = await gateway.expect(
        SESSION.format(who="issuer/agent")
        + """
issuer/agent server/discover permit ok
2 x issuer/agent tools/list permit ok
2 x issuer/agent tools/call git_status forbid policy.forbid
2 x issuer/agent tools/call git_log permit ok
"""
    )
    on_record = [r for r in records if r["kind"] == "call.refused"]
    equal([r["call"] for r in on_record], refused, "calls on record as refused")
    for record in on_record:
        equal(trail.policies(record), ["nobody-reads-the-environment"], "policies on record")


async def refused_inspector(stage: Stage) -> None:
    """The Inspector fails, and says why, for a forbidden call and for a bad token."""
    path = await repository.make(stage)
    gateway = await Gateway.make(stage, command=repository.server(stage, path))
    policy = gateway.directory / "policy" / "main.cedar"
    policy.write_text(policy.read_text().replace("get-env", "git_status"))
    await gateway.start()
    call = ["--method", "tools/call", "--tool-name", "git_status"]
    call += ["--tool-arg", f"repo_path={path}", "--protocol-era", "modern", "--header"]
    forbidden = await clients.inspector(
        stage, [gateway.url], *call, f"Authorization: Bearer {gateway.token()}"
    )
    check(forbidden.status != 0, "the Inspector was not refused")
    check("no policy permits this call" in forbidden.errors, f"error: {forbidden.errors}")
    forged = tokens.Issuer().token("agent", gateway.url)
    rejected = await clients.inspector(
        stage, [gateway.url], *call, f"Authorization: Bearer {forged}"
    )
    check(rejected.status != 0, "the Inspector was accepted with a forged token")
    check("auth" in rejected.errors.lower(), f"error: {rejected.errors}")
    await gateway.expect(
        """
issuer/agent server/discover permit ok
+ issuer/agent tools/list permit ok
issuer/agent tools/call git_status forbid policy.forbid
+ anonymous server/discover forbid identity.invalid-signature
"""
    )


async def refused_tokens(stage: Stage) -> None:
    """No token, or a bad one: the client is told, and the reason is on record."""
    _, upstream = await everything.start(stage)
    gateway = await Gateway.started(stage, url=upstream)
    good, now = gateway.issuer, int(time.time())
    another = tokens.Issuer(name="https://another.example")
    cases: dict[str, str | None] = {
        "missing": None,
        "invalid-signature": tokens.Issuer().token("agent", gateway.url),
        "expired": good.token("agent", gateway.url, iat=now - 1_200, exp=now - 600),
        "not-yet-valid": good.token("agent", gateway.url, nbf=now + 600),
        "wrong-audience": good.token("agent", "http://127.0.0.1:1/mcp"),
        "unknown-issuer": another.token("agent", gateway.url),
        "unknown-key": tokens.Issuer(key_id="key-2").token("agent", gateway.url),
        "missing-claim": good.token("agent", gateway.url, exp=None),
        "lifetime-too-long": good.token("agent", gateway.url, exp=now + 1_000_000),
        "unknown-api-key": "cs_dev_" + "A" * 43,
    }
    for reason, token in cases.items():
        error = await _error(partial(_connect, gateway.url, token))
        check(bool(error.message), f"{reason}: the client is told nothing")
        await _check_challenge(gateway.url, token, reason)
    await gateway.expect(
        "".join(f"2 x anonymous initialize forbid identity.{reason}\n" for reason in cases)
    )


async def refused_upstream_unreachable(stage: Stage) -> None:
    """Nobody listens behind the gateway."""
    url = f"http://127.0.0.1:{stage.free_port()}/mcp"
    gateway = await Gateway.started(stage, url=url)
    error = await _error(lambda: _connect(gateway.url, gateway.token()))
    check(bool(error.message), "the client is told nothing")
    await gateway.expect("issuer/agent initialize permit unreachable")


async def broken_http_upstream(stage: Stage) -> None:
    """The server dies in the middle of a call, over HTTP. It had given event ids, so that the client may
    come back for the answer, and the call stays open until the session ends.
    """
    server, upstream = await everything.start(stage)
    gateway = await Gateway.started(stage, url=upstream)
    await _broken(gateway, lambda: server.send(signal.SIGKILL))
    records = await gateway.expect(
        """
issuer/agent initialize permit ok
issuer/agent notifications/initialized permit accepted
? issuer/agent http/get permit ok
? issuer/agent http/get permit transport-failure
? issuer/agent http/get permit unreachable
? issuer/agent http/delete permit unreachable
? issuer/agent tools/call trigger-long-running-operation permit transport-failure
? issuer/agent tools/call trigger-long-running-operation permit unknown
""",
        stays_open=LONG,
    )
    equal(len([r for r in records if _is_long(r)]), 1, "calls that broke")


async def broken_stdio_upstream(stage: Stage) -> None:
    """The server dies in the middle of a call, as a local program."""
    path = stage.directory / "server.pid"
    command = ["sh", "-c", 'echo $$ >"$0"; exec "$@"', str(path), *everything.command(stage)]
    gateway = await Gateway.started(stage, command=command)
    await _broken(gateway, lambda: _kill(path))
    await gateway.expect(
        """
issuer/agent initialize permit ok
issuer/agent notifications/initialized permit accepted
? issuer/agent http/get permit ok
? issuer/agent http/delete permit accepted
? issuer/agent http/delete forbid session.unknown
issuer/agent tools/call trigger-long-running-operation permit transport-failure
"""
    )


async def broken_gateway(stage: Stage) -> None:
    """The gateway itself is killed in the middle of a call: the next one puts on record that its end
    is in doubt.
    """
    _, upstream = await everything.start(stage)
    gateway = await Gateway.started(stage, url=upstream)
    killed = gateway.program
    assert killed is not None
    await _broken(gateway, lambda: killed.send(signal.SIGKILL))
    killed.process.wait()
    await gateway.start()
    records = await gateway.expect(
        """
issuer/agent initialize permit ok
issuer/agent notifications/initialized permit accepted
? issuer/agent http/get permit unknown
issuer/agent tools/call trigger-long-running-operation permit unknown
"""
    )
    in_doubt = await trail.read(stage, gateway.log, "--outcome", "in-doubt", "--tool", LONG)
    equal([r["call"] for r in in_doubt], [r["call"] for r in records if _is_long(r)], "in doubt")


async def cancelled_by_client(stage: Stage) -> None:
    """The client cancels a call that is under way, goes on, and ends the session."""
    _, upstream = await everything.start(stage)
    gateway = await Gateway.started(stage, url=upstream)
    async with clients.over_http(gateway.url, gateway.token(), mode="legacy") as client:
        async with anyio.create_task_group() as group:
            under_way = anyio.Event()
            group.start_soon(_call_long, client, under_way)
            await under_way.wait()
            group.cancel_scope.cancel()
        await client.send_ping()
    records = await gateway.expect(
        SESSION.format(who="issuer/agent")
        + """
? issuer/agent tools/call trigger-long-running-operation permit cancelled
? issuer/agent tools/call trigger-long-running-operation permit client-gone
? issuer/agent tools/call trigger-long-running-operation permit unknown
issuer/agent notifications/cancelled permit accepted
issuer/agent ping permit ok
"""
    )
    equal(len([r for r in records if _is_long(r)]), 1, "calls cancelled")


async def _broken(gateway: Gateway, breaks: Callable[[], None]) -> None:
    """Breaks something once a call is surely under way; the client must learn of it."""

    async def call(client: Client, under_way: anyio.Event) -> None:
        error = await _error(lambda: _call_long(client, under_way))
        check(bool(error.message), "the client is told nothing")

    with anyio.fail_after(BROKEN_SECONDS_MAX):
        async with clients.over_http(gateway.url, gateway.token(), mode="legacy") as client:
            async with anyio.create_task_group() as group:
                under_way = anyio.Event()
                group.start_soon(call, client, under_way)
                await under_way.wait()
                breaks()


async def _call_long(client: Client, under_way: anyio.Event) -> None:
    """Calls what does not end here, and tells when the server has begun."""

    async def progressed(progress: float, total: float | None, message: str | None) -> None:
        check(progress > 0, f"progress: {progress} {total} {message}")
        under_way.set()

    arguments = {"duration": LONG_SECONDS, "steps": LONG_SECONDS * 20}
    await client.session.call_tool(LONG, arguments, progress_callback=progressed)


def _is_long(record: trail.Record) -> bool:
    return LONG in record["resource"].get("names", [])


def _kill(path: Path) -> None:
    os.kill(int(path.read_text()), signal.SIGKILL)


async def _connect(url: str, token: str | None) -> None:
    async with clients.over_http(url, token, mode="legacy"):
        raise Failed("the client was let in")


async def _check_challenge(url: str, token: str | None, reason: str) -> None:
    """What is on the wire: 401, a challenge, and a JSON-RPC error that names the reason."""
    async with clients.http_client(token) as http:
        answer = await http.post(url, json=clients.INITIALIZE, headers=clients.ACCEPT)
    equal(answer.status_code, 401, f"{reason}: status")
    check("Bearer" in answer.headers.get("www-authenticate", ""), f"{reason}: no challenge")
    equal(answer.json()["error"]["data"]["reason"], f"identity.{reason}", "reason")


async def _error(call: Callable[[], Awaitable[object]]) -> MCPError:
    """The error that a client reports."""
    try:
        await call()
    except MCPError as error:
        return error
    except BaseExceptionGroup as group:
        errors, _ = group.split(MCPError)
        if errors is None:
            raise
        found = errors.exceptions[0]
        while isinstance(found, BaseExceptionGroup):
            found = found.exceptions[0]
        return found
    raise Failed("the client reported no error")
