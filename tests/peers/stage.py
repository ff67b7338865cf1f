"""One scenario's place on this machine: its folder, its ports, and the programs it started.

Knows nothing of MCP or of the gateway. Stops only what it started itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

STOP_SECONDS_MAX = 15.0
"""For a program to end after it was asked to, before it is killed."""

READY_SECONDS_MAX = 60.0
"""For a server to accept its first connection."""

PROGRAM_SECONDS_MAX = 90.0
"""For a program that runs to its end."""

# Below the ports that systems give to outgoing connections, so that nothing takes one in between.
_ports = itertools.cycle(random.sample(range(15_000, 30_000), 15_000))


class Failed(Exception):
    """What a scenario expected did not hold; the message says what was found instead."""


class NotRun(Exception):
    """The scenario needs what this machine does not allow; the message says what."""


def check(holds: bool, message: str) -> None:
    """Fails the scenario unless `holds`."""
    if not holds:
        raise Failed(message)


def equal(found: object, wanted: object, what: str) -> None:
    """Fails the scenario unless both are equal."""
    if found != wanted:
        raise Failed(f"{what}: wanted {wanted!r}, found {found!r}")


@dataclass(frozen=True)
class Ended:
    """A program that ran to its end."""

    status: int
    output: str
    errors: str


@dataclass
class Program:
    """A program that runs beside the scenario; its output goes to a file."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def output(self) -> str:
        """What it has written so far."""
        return self.log.read_text(errors="replace")

    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None

    def send(self, number: int) -> None:
        """Sends a signal to it and to what it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Asks it to end, waits, and kills what is left; returns its exit status."""
        if self.running():
            self.send(number)
            try:
                self.process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.send(signal.SIGKILL)
                self.process.wait()
                raise Failed(f"{self.name} did not end within {STOP_SECONDS_MAX} s") from None
        return self.process.returncode


@dataclass
class Stage:
    """The place of one scenario."""

    directory: Path
    binary: Path
    """The `countersign` to try."""
    peers: Path
    """Where `setup` installed the peers."""
    writes_docs: bool = False
    """Whether pages that runs generate are written and not compared."""
    programs: list[Program] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.directory / "home").mkdir(parents=True)
        self.environment = {
            "HOME": str(self.directory / "home"),
            "LANG": "C.UTF-8",
            "NODE_PATH": str(self.modules),
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
        }
        """For every program. No proxies, no settings of whoever runs this."""

    @property
    def node(self) -> str:
        """Node, of the version that the Inspector needs."""
        return str(self.peers / "node" / "node")

    @property
    def modules(self) -> Path:
        """Where the npm packages are."""
        return self.peers / "node" / "node_modules"

    def package(self, path: str) -> str:
        """A file of an official npm package."""
        return str(self.modules / "@modelcontextprotocol" / path)

    def python_program(self, name: str) -> str:
        """A program of a PyPI package."""
        return str(self.peers / "python" / "bin" / name)

    def free_port(self) -> int:
        """A port of 127.0.0.1 that nobody listens on."""
        for port in itertools.islice(_ports, 100):
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
                return port
        raise Failed("there is no free port on 127.0.0.1")

    def start(self, name: str, *command: str, **variables: str) -> Program:
        """Starts a program in a process group of its own; `variables` add to its environment."""
        log = self.directory / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.directory,
                env=self.environment | variables,
                start_new_session=True,
            )
        program = Program(name, process, log)
        self.programs.append(program)
        return program

    async def listening(self, program: Program, port: int) -> None:
        """Returns when the program accepts connections on the port."""
        deadline = time.monotonic() + READY_SECONDS_MAX
        while program.running() and time.monotonic() < deadline:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return
        what = "does not listen" if program.running() else "ended"
        raise Failed(f"{program.name} {what}:\n{program.output()[-2_000:]}")

    async def run(
        self,
        *command: str,
        standard_input: int = subprocess.DEVNULL,
        seconds_max: float = PROGRAM_SECONDS_MAX,
    ) -> Ended:
        """Runs a program to its end."""
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=standard_input,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.directory,
            env=self.environment,
            start_new_session=True,
        )
        try:
            output, errors = await asyncio.wait_for(process.communicate(), seconds_max)
        except TimeoutError:
            raise Failed(f"`{command[0]}` did not end in {seconds_max} s") from None
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        assert process.returncode is not None
        return Ended(process.returncode, output.decode(), errors.decode())

    def end(self) -> None:
        """Stops everything that is still running, the latest first."""
        for program in reversed(self.programs):
            with contextlib.suppress(Failed):
                program.stop()
            # Whatever it had started itself.
            program.send(signal.SIGKILL)
