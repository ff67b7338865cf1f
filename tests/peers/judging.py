"""Asks independent judges: programs and libraries that others wrote, each in its own process. A
judge accepts by exit status 0. Knows nothing of what is judged.
"""

from __future__ import annotations

from pathlib import Path

from stage import Ended, Program, Stage, check, equal

VALID, UNPROVEN, ALTERED, FORKED, WRONG_KEY, UNWITNESSED = 0, 10, 11, 13, 14, 17
"""Exit statuses of `countersign verify`."""

SCRIPTS = Path(__file__).with_name("judges")
"""Small programs around judges that are libraries; they import nothing from here."""


def python(stage: Stage) -> str:
    """The Python that has the judges from PyPI."""
    return str(stage.peers / "judges" / "bin" / "python")


def program(stage: Stage, name: str) -> str:
    """A program that a judge from PyPI brings."""
    return str(stage.peers / "judges" / "bin" / name)


def script(stage: Stage, name: str) -> list[str]:
    """How to run one of the small programs."""
    return [python(stage), str(SCRIPTS / f"{name}.py")]


def sumdb(stage: Stage) -> str:
    """The judge built on the transparency log of Go; see `judges/sumdb/main.go`."""
    return str(stage.peers / "sumdb" / "sumdb")


async def accepts(stage: Stage, *command: str) -> str:
    """The judge must accept; returns what it printed."""
    ended = await stage.run(*command)
    check(ended.status == 0, f"{_name(command)} refused: {_said(ended)}")
    return ended.output


async def refuses(stage: Stage, saying: str, *command: str) -> str:
    """The judge must refuse, and say this; a crash is no refusal. Returns what it printed."""
    ended = await stage.run(*command)
    said = _said(ended)
    check(ended.status != 0, f"{_name(command)} accepted what it must refuse: {said}")
    check(saying in said, f"{_name(command)} did not say `{saying}`: {said}")
    check("Traceback" not in said and "panic:" not in said, f"{_name(command)} broke: {said}")
    return ended.output


async def verdict(stage: Stage, status: int, *arguments: str) -> str:
    """What our own verifier prints, which must end with this exit status."""
    command = (str(stage.binary), "verify", *arguments)
    ended = await stage.run(*command)
    equal(ended.status, status, f"exit status of {_name(command)} ({_said(ended)})")
    return ended.output


async def run_ours(stage: Stage, *arguments: str) -> str:
    """Runs `countersign`, which must succeed; returns what it printed."""
    ended = await stage.run(str(stage.binary), *arguments)
    check(ended.status == 0, f"countersign {_name(arguments)}: {_said(ended)}")
    return ended.output


async def served(stage: Stage, name: str, port: int, *command: str, **variables: str) -> Program:
    """Starts a judge that is a server; returns when it listens."""
    running = stage.start(name, *command, **variables)
    await stage.listening(running, port)
    return running


def _name(command: tuple[str, ...]) -> str:
    return " ".join(Path(word).name if "/" in word else word for word in command)


def _said(ended: Ended) -> str:
    return f"{ended.output} {ended.errors}".strip()
