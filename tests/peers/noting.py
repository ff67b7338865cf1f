"""A server on the official Python SDK that carries nothing out but writes down what it was asked to:

    noting.py FILE [PORT]

One line of JSON for each execution, as the SDK understood it: its method, the name of what was called, and
the arguments as a text. Over standard input and output, or over Streamable HTTP without sessions. Runs by itself;
knows no gateway.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import anyio
import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server


def main(path: str, port: str | None = None) -> None:
    """Serves until it is stopped."""
    server = noting(path)
    if port is None:
        anyio.run(over_stdio, server)
    else:
        app = server.streamable_http_app(stateless_http=True, json_response=True)
        uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="critical")


def noting(path: str) -> Server[Any]:
    """The server; whatever the name, there is a tool, a resource and a prompt of it."""
    file = open(path, "a", encoding="ascii", buffering=1)  # noqa: SIM115

    def note(method: str, name: str, arguments: object) -> None:
        try:
            written = json.dumps(arguments)
        except RecursionError:
            written = "deep"
        file.write(json.dumps({"method": method, "name": name, "arguments": written}) + "\n")

    async def call_tool(_: object, params: types.CallToolRequestParams) -> types.CallToolResult:
        note("tools/call", params.name, params.arguments)
        return types.CallToolResult(content=[types.TextContent(type="text", text="done")])

    async def read(_: object, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        note("resources/read", str(params.uri), None)
        return types.ReadResourceResult(contents=[])

    async def prompt(_: object, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        note("prompts/get", params.name, params.arguments)
        return types.GetPromptResult(messages=[])

    async def tools(_: object, __: object) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[])

    return Server(
        "noting",
        version="1",
        on_list_tools=tools,
        on_call_tool=call_tool,
        on_read_resource=read,
        on_get_prompt=prompt,
    )


async def over_stdio(server: Server[Any]) -> None:
    """One client, on standard input and output."""
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


if __name__ == "__main__":
    main(*sys.argv[1:])
