"""The server in `fixture/`, which offers everything that the conformance suite asks of a server, in every
revision that rmcp knows: how to start it; and where the client is that is built with it.
"""

from __future__ import annotations

from stage import Program, Stage


def command(stage: Stage) -> list[str]:
    """The server as a local program."""
    return [_program(stage), "--stdio"]


async def start(stage: Stage, name: str = "fixture") -> tuple[Program, str]:
    """The server over HTTP; returns its address as well."""
    port = stage.free_port()
    program = stage.start(name, _program(stage), "--port", str(port))
    await stage.listening(program, port)
    return program, f"http://127.0.0.1:{port}/mcp"


def client(stage: Stage) -> str:
    """The client, a program that is given the servers to go to; see `fixture/src/client.rs`."""
    return str(stage.peers / "fixture" / "client")


def _program(stage: Stage) -> str:
    return str(stage.peers / "fixture" / "fixture")
