"""The reference server `server-everything` (npm): how to start it, and a tour through all it offers
with the Python client. It speaks 2025-11-25, over HTTP and over standard input and output.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, MCPError
from mcp_types import (
    CreateMessageResult,
    ElicitResult,
    ListRootsResult,
    PromptReference,
    Root,
    TextContent,
)
from pydantic import FileUrl

from stage import Program, Stage, check, equal

LOOPBACK = Path(__file__).with_name("loopback.cjs")

ODD_TEXT = "grüß dich \u2028 \r\n \u0001 \U0001f511"
"""Text with characters that some transports take for the end of a line."""

ROOTS_SECONDS_MAX = 2.0
ROOTS_ASKED_MAX = 10


def command(stage: Stage) -> list[str]:
    """The server as a local program."""
    return [stage.node, stage.package("server-everything/dist/index.js"), "stdio"]


async def start(stage: Stage, transport: str = "streamableHttp") -> tuple[Program, str]:
    """The server over HTTP, by one of its transports: `streamableHttp` or `sse`. Returns its address as
    well.
    """
    port = stage.free_port()
    program = stage.start(
        f"server-everything-{transport}",
        stage.node,
        "--require",
        str(LOOPBACK),
        stage.package("server-everything/dist/index.js"),
        transport,
        PORT=str(port),
    )
    await stage.listening(program, port)
    return program, f"http://127.0.0.1:{port}/{'sse' if transport == 'sse' else 'mcp'}"


@dataclass
class Person:
    """Answers what the server asks of the client."""

    asked: list[str] = field(default_factory=list)
    roots_given: anyio.Event = field(default_factory=anyio.Event)

    async def sample(self, _context: object, params: Any) -> CreateMessageResult:
        """Plays the language model."""
        self.asked.append("sampling")
        return CreateMessageResult(
            role="assistant",
            content=TextContent(type="text", text=f"asked for {params.max_tokens} tokens"),
            model="a-model",
        )

    async def elicit(self, _context: object, _params: Any) -> ElicitResult:
        """Fills in the form."""
        self.asked.append("elicitation")
        return ElicitResult(action="accept", content={"name": "Jane Doe", "check": True})

    async def roots(self, _context: object) -> ListRootsResult:
        """Names one folder."""
        self.asked.append("roots")
        self.roots_given.set()
        return ListRootsResult(roots=[Root(uri=FileUrl("file:///srv/project"), name="project")])

    def callbacks(self) -> dict[str, Any]:
        """For the Python client."""
        return {
            "sampling_callback": self.sample,
            "elicitation_callback": self.elicit,
            "list_roots_callback": self.roots,
        }


Connect = Callable[..., AbstractAsyncContextManager[Client]]


async def tour(connect: Connect) -> None:
    """Uses everything once: lists, tools, progress, both kinds of questions to the client, resources,
    prompts, completion, logging level and ping; and one tool that policy forbids.
    """
    person = Person()
    async with connect(**person.callbacks()) as client:
        equal(client.protocol_version, "2025-11-25", "negotiated revision")
        await _wait_for_roots(client, person)
        tools = {tool.name for tool in (await client.list_tools()).tools}
        check({"echo", "get-env", "trigger-sampling-request"} <= tools, f"tools: {tools}")
        equal(await said(client, "echo", message=ODD_TEXT), f"Echo: {ODD_TEXT}", "echo")
        await _progress(client)
        sampled = await said(client, "trigger-sampling-request", prompt="hello", maxTokens=7)
        check("asked for 7 tokens" in sampled, f"sampling: {sampled}")
        elicited = await said(client, "trigger-elicitation-request")
        check("provided the requested information" in elicited, f"elicitation: {elicited}")
        equal(set(person.asked), {"roots", "sampling", "elicitation"}, "what the server asked")
        await _content(client)
        await client.send_ping()
        await client.set_logging_level("warning")


TOUR = """
+ {who} notifications/roots/list_changed permit accepted
+ upstream/peer to-client/roots/list permit ok
{who} tools/list permit ok
{who} tools/call echo permit ok
{who} tools/call trigger-long-running-operation permit ok
{who} tools/call trigger-sampling-request permit ok
upstream/peer to-client/sampling/createMessage permit ok
{who} tools/call trigger-elicitation-request permit ok
upstream/peer to-client/elicitation/create permit ok
{who} tools/call get-sum permit tool-error
{who} resources/list permit ok
{who} resources/templates/list permit ok
{who} resources/read demo://resource/dynamic/text/7 permit ok
{who} resources/read demo://nothing permit protocol-error
{who} resources/subscribe demo://resource/dynamic/text/7 permit ok
{who} prompts/list permit ok
{who} prompts/get simple-prompt permit ok
{who} completion/complete completable-prompt permit ok
{who} ping permit ok
{who} logging/setLevel permit ok
"""
"""The trail of `tour`, without opening and closing the session."""


async def _wait_for_roots(client: Client, person: Person) -> None:
    """The server asks for roots when told that they changed, on the stream of the GET request; what
    it asks before that stream is open is lost.
    """
    for _ in range(ROOTS_ASKED_MAX):
        await client.send_roots_list_changed()
        with anyio.move_on_after(ROOTS_SECONDS_MAX):
            await person.roots_given.wait()
            return
    check(False, "the server never asked for roots")


async def _progress(client: Client) -> None:
    seen: list[float] = []

    async def progressed(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)
        equal((total, message), (3, None), "progress")

    arguments = {"duration": 0.3, "steps": 3}
    result = await client.call_tool(
        "trigger-long-running-operation", arguments, progress_callback=progressed
    )
    check(not result.is_error, f"long running operation: {result}")
    equal(seen, [1, 2, 3], "progress")


async def _content(client: Client) -> None:
    wrong = await client.call_tool("get-sum", {"a": "one", "b": 2})
    check(wrong.is_error is True, f"get-sum of a word: {wrong}")
    check(len((await client.list_resources()).resources) > 0, "no resources")
    check(len((await client.list_resource_templates()).resource_templates) > 0, "no templates")
    read = await client.read_resource("demo://resource/dynamic/text/7")
    check("Resource 7" in read.model_dump_json(), f"resource: {read}")
    try:
        await client.read_resource("demo://nothing")
        check(False, "a resource that is not there was read")
    except MCPError as error:
        check("not found" in str(error), f"resource that is not there: {error}")
    await client.subscribe_resource("demo://resource/dynamic/text/7")
    check(len((await client.list_prompts()).prompts) > 0, "no prompts")
    prompt = await client.get_prompt("simple-prompt")
    check("This is a simple prompt" in prompt.model_dump_json(), f"prompt: {prompt}")
    completion = await client.complete(
        PromptReference(type="ref/prompt", name="completable-prompt"),
        {"name": "department", "value": "E"},
    )
    equal(completion.completion.values, ["Engineering"], "completion")


async def said(client: Client, tool: str, **arguments: Any) -> str:
    """The text that a tool answers with."""
    result = await client.call_tool(tool, arguments)
    check(not result.is_error, f"{tool}: {result}")
    return "\n".join(part.text for part in result.content if isinstance(part, TextContent))
