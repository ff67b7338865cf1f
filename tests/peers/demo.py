"""Scenarios: `countersign demo`, used as its own output invites to."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import signal
import time

import clients
import gateway
import trail
from stage import Failed, Program, Stage, check, equal

INVITATION_SECONDS_MAX = 60.0


async def demo_inspector(stage: Stage) -> None:
    """The Inspector connects as the demo says, and the call is on record."""
    directory = stage.directory / "demo"
    program = stage.start("demo", str(stage.binary), "demo", "--keep", "--data", str(directory))
    output = await _invited(program)
    check("log verified:" in output, "the demo did not verify its log")
    command = re.search(r"npx -y @modelcontextprotocol/inspector --cli(.*?)\n\n", output, re.S)
    if command is None:
        raise Failed("the demo invites nobody")
    words = shlex.split(command[1].replace("\\\n", " "))
    result = await clients.inspector_result(stage, [words[0]], *words[1:])
    check("Login fails" in json.dumps(result), f"tickets: {result}")
    await trail.settled(stage, directory / "log")
    equal(program.stop(signal.SIGINT), 0, "exit status of the demo")
    mine = await trail.read(stage, directory / "log", "--actor", "developer")
    trail.expect(
        mine,
        """
api-key/developer initialize permit ok
api-key/developer notifications/initialized permit accepted
api-key/developer http/get permit ok
api-key/developer tools/list permit ok
api-key/developer tools/call query permit ok
""",
    )
    await gateway.verify(stage, directory / "log", directory / "keys" / "log.key.pub")


async def _invited(program: Program) -> str:
    deadline = time.monotonic() + INVITATION_SECONDS_MAX
    while "Ctrl-C ends" not in program.output():
        if not program.running() or time.monotonic() > deadline:
            raise Failed("the demo does not stay for visitors")
        await asyncio.sleep(0.05)
    return program.output()
