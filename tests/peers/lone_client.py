"""The official Python client as the conformance suite wants a client to be: a program that is given the
address of a server, and the name of a scenario in `MCP_CONFORMANCE_SCENARIO`, and does what that scenario
is about. Runs by itself; knows no gateway.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from typing import Any

import anyio
from mcp import Client, MCPError
from mcp_types import (
    CreateMessageResult,
    ElicitResult,
    ListRootsResult,
    TextContent,
)

SESSIONS = {"initialize", "elicitation-sep1034-client-defaults", "sse-retry"}
"""Scenarios of the revisions that have sessions; the others find out what the server speaks."""


async def elicit(_context: object, params: Any) -> ElicitResult:
    """Accepts the form as it is filled in already."""
    properties = getattr(params, "requested_schema", {}).get("properties", {})
    content = {name: value["default"] for name, value in properties.items() if "default" in value}
    return ElicitResult(action="accept", content=content or {"confirmed": True})


async def sample(_context: object, _params: Any) -> CreateMessageResult:
    """Plays the language model."""
    said = TextContent(type="text", text="yes")
    return CreateMessageResult(role="assistant", content=said, model="a-model")


async def roots(_context: object) -> ListRootsResult:
    """Has none."""
    return ListRootsResult(roots=[])


async def main(scenario: str, url: str) -> None:
    """Does what the scenario is about, and what any client would do."""
    mode = "legacy" if scenario in SESSIONS else "auto"
    callbacks = {
        "elicitation_callback": elicit,
        "sampling_callback": sample,
        "list_roots_callback": roots,
    }
    async with Client(url, mode=mode, read_timeout_seconds=40.0, **callbacks) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        await {
            "elicitation-sep1034-client-defaults": _call_all,
            "http-custom-headers": _call_as_told,
            "http-invalid-tool-headers": _call_all,
            "http-standard-headers": _use_everything,
            "json-schema-2020-12-preservation": _echo_schema,
            "sep-2322-client-request-state": _call_all,
            "sse-retry": _call_all,
            "tools_call": _add,
        }.get(scenario, _nothing)(client, tools)


async def _nothing(_client: Client, _tools: dict[str, Any]) -> None:
    """The list of tools was all."""


async def _add(client: Client, _tools: dict[str, Any]) -> None:
    await client.call_tool("add_numbers", {"a": 5, "b": 3})


async def _call_all(client: Client, tools: dict[str, Any]) -> None:
    """Every tool that the client shows, with every argument that it needs."""
    for name, tool in tools.items():
        needed = tool.input_schema.get("required", [])
        try:
            await client.call_tool(name, {argument: "a-value" for argument in needed})
        except ValueError as error:
            # It cannot read every answer that a server may give; the suite looks at what it asks.
            print(f"{name}: {error}")


async def _call_as_told(client: Client, _tools: dict[str, Any]) -> None:
    for call in json.loads(os.environ["MCP_CONFORMANCE_CONTEXT"])["toolCalls"]:
        await client.call_tool(call["name"], call["arguments"])


async def _use_everything(client: Client, tools: dict[str, Any]) -> None:
    await _call_all(client, tools)
    for resource in (await client.list_resources()).resources:
        await client.read_resource(str(resource.uri))
    for prompt in (await client.list_prompts()).prompts:
        await client.get_prompt(prompt.name)


async def _echo_schema(client: Client, tools: dict[str, Any]) -> None:
    schema = tools["json_schema_2020_12_tool"].input_schema
    await client.call_tool("json_schema_echo", {"schema": schema})


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    try:
        anyio.run(main, os.environ["MCP_CONFORMANCE_SCENARIO"], sys.argv[1])
    except MCPError as error:
        sys.exit(f"{error.code}: {error}")
