"""Scenarios: what only 2026-07-28 has, with the Python client and a server on the Rust SDK: rounds of a call
that asks for input, and subscriptions.
"""

from __future__ import annotations

from typing import Any

import anyio
from mcp_types import ElicitResult

import clients
import everything
import fixture
from gateway import Gateway
from stage import Stage, check, equal

HEARD_SECONDS_MAX = 30.0
"""For news to arrive."""


async def modern_rounds_python(stage: Stage) -> None:
    """A call that asks for input is two calls on record, which are one chain."""
    asked: list[str] = []

    async def elicit(_context: object, params: Any) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action="accept", content={"ok": True})

    _, upstream = await fixture.start(stage)
    gateway = await Gateway.started(stage, url=upstream)
    token = gateway.token()
    async with clients.over_http(gateway.url, token, elicitation_callback=elicit) as client:
        equal(client.protocol_version, "2026-07-28", "negotiated revision")
        await everything.said(client, "test_input_required_result_request_state")
    equal(len(asked), 1, "questions")
    tool = "test_input_required_result_request_state"
    records = await gateway.expect(
        f"""
issuer/agent server/discover permit ok
? issuer/agent tools/list permit ok
issuer/agent tools/call {tool} permit input-required
issuer/agent tools/call {tool} permit ok
"""
    )
    first, second = (r for r in records if r["resource"]["method"] == "tools/call")
    equal(second["root"], first["call"], "first call of the chain")
    equal(second["follows"], first["call"], "the call before")


async def modern_subscription_python(stage: Stage) -> None:
    """News of what changed arrive on a subscription, until the client ends it."""
    _, upstream = await fixture.start(stage)
    gateway = await Gateway.started(stage, url=upstream)
    async with clients.over_http(gateway.url, gateway.token()) as client:
        async with client.listen(tools_list_changed=True) as subscription:
            await everything.said(client, "test_trigger_tool_change")
            with anyio.fail_after(HEARD_SECONDS_MAX):
                news = await anext(subscription)
        check("Tools" in type(news).__name__, f"news: {news}")
    await gateway.expect(
        """
issuer/agent server/discover permit ok
? issuer/agent tools/list permit ok
issuer/agent subscriptions/listen permit ok
issuer/agent tools/call test_trigger_tool_change permit ok
"""
    )
