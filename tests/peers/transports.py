"""Scenarios: clients and servers of different transports, with the gateway between them."""

from __future__ import annotations

from functools import partial

import clients
import everything
import gateway as gateways
import trail
from gateway import Gateway
from over_http import SESSION
from stage import Stage, equal

# To open the stream of HTTP+SSE is a call, and so is the stream that the gateway opens at the server for it.
OVER_SSE = SESSION.replace("{who} http/get permit ok", "2 x {who} http/get permit ok")


def _over_sse(gateway: Gateway) -> everything.Connect:
    """The Python client over HTTP+SSE (2024-11-05)."""
    url = f"http://127.0.0.1:{gateway.port}/sse"
    return partial(clients.over_sse, url, gateway.token())


async def _sse_server(stage: Stage) -> Gateway:
    """A gateway in front of a server of HTTP+SSE."""
    _, url = await everything.start(stage, transport="sse")
    gateway = await Gateway.make(stage, url=url)
    gateway.edit(f'url = "{url}"', f'url = "{url}"\ntransport = "sse"')
    await gateway.start()
    return gateway


async def transport_sse_to_http(stage: Stage) -> None:
    """A client of HTTP+SSE uses everything of a server of Streamable HTTP."""
    _, url = await everything.start(stage)
    gateway = await Gateway.started(stage, url=url)
    await everything.tour(_over_sse(gateway))
    await gateway.expect((OVER_SSE + everything.TOUR).format(who="issuer/agent"))


async def transport_sse_to_stdio(stage: Stage) -> None:
    """A client of HTTP+SSE uses everything of a local program."""
    gateway = await Gateway.started(stage, command=everything.command(stage))
    await everything.tour(_over_sse(gateway))
    await gateway.expect((OVER_SSE + everything.TOUR).format(who="issuer/agent"))


async def transport_http_to_sse(stage: Stage) -> None:
    """A client of Streamable HTTP uses everything of a server of HTTP+SSE."""
    gateway = await _sse_server(stage)
    connect = partial(clients.over_http, gateway.url, gateway.token(), mode="auto")
    await everything.tour(connect)
    probe = "issuer/agent server/discover permit protocol-error\n"
    await gateway.expect(probe + (SESSION + everything.TOUR).format(who="issuer/agent"))


async def transport_sse_to_sse(stage: Stage) -> None:
    """Both sides speak HTTP+SSE."""
    gateway = await _sse_server(stage)
    await everything.tour(_over_sse(gateway))
    await gateway.expect((OVER_SSE + everything.TOUR).format(who="issuer/agent"))


async def transport_stdio_to_http(stage: Stage) -> None:
    """A client that starts its server uses everything of one on HTTP."""
    _, url = await everything.start(stage)
    data = stage.directory / "wrap"
    command = [str(stage.binary), "wrap", "--name", "peer", "--data", str(data), "--url", url]
    await everything.tour(partial(clients.over_stdio, stage, command, mode="legacy"))
    records = await trail.read(stage, data / "log")
    callers = {r["actor"]["id"] for r in records if r["direction"] == "to-server"}
    equal(len(callers), 1, "callers on record")
    who = f"local/{callers.pop()}"
    trail.expect(records, (SESSION + everything.TOUR).format(who=who))
    await gateways.verify(stage, data / "log", data / "keys" / "log.key.pub")
