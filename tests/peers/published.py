"""A log as the gateway publishes it, made by real calls, with what a judge wants beside it: the key
from elsewhere, a checkpoint kept from earlier, a forked copy that the same key signed, and copies
that were tampered with.
"""

from __future__ import annotations

import base64
import shutil
from dataclasses import dataclass
from pathlib import Path

import anyio
from mcp import Client

import clients
import repository
from gateway import Gateway
from stage import Failed, Stage, check

CALLS = 140
"""In each of two runs: enough entries for two full tiles, and more."""

CALLS_FORKED = 150
"""In the second run of the forked copy."""

CALLS_AT_ONCE = 10


@dataclass(frozen=True)
class Checkpoint:
    """The three lines of a checkpoint."""

    origin: str
    size: int
    root: bytes

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """What a file says; its signatures are for judges."""
        origin, size, root, *_ = path.read_text().split("\n")
        return cls(origin, int(size), base64.b64decode(root))


@dataclass(frozen=True)
class Published:
    """The log and what goes with it. Scenarios share it: nothing in it may be changed."""

    log: Path
    fork: Path
    """A copy of the log after its first run, which then went on by itself: it is longer."""
    key: Path
    """The verifier key, outside the log."""
    private: Path
    """The key that signed."""
    old: Path
    """The checkpoint after the first run."""

    @property
    def head(self) -> Path:
        """The checkpoint after the second run."""
        return self.log / "checkpoint"

    @property
    def origin(self) -> str:
        """The name of the log."""
        return Checkpoint.read(self.old).origin

    @property
    def vkey(self) -> str:
        """The verifier key."""
        return self.key.read_text().strip()


async def make(stage: Stage) -> Published:
    """All of it; made by the first scenario that asks."""
    shared = stage.directory.parent / "published"
    if not shared.exists():
        await _make(stage, stage.directory / "published")
        (stage.directory / "published").rename(shared)
    key = shared / "gateway" / "keys" / "log.key"
    found = Published(
        log=shared / "gateway" / "log",
        fork=shared / "forked" / "log",
        key=key.with_name("log.key.pub"),
        private=key,
        old=shared / "old.note",
    )
    sizes = [Checkpoint.read(file).size for file in (found.old, found.head)]
    check(sizes[0] > 256 and sizes[1] > 512, f"not enough entries for full tiles: {sizes}")
    return found


async def _make(stage: Stage, directory: Path) -> None:
    path = await repository.make(stage)
    gateway = await Gateway.make(stage, command=repository.server(stage, path))
    await serve(gateway, CALLS)
    forked = copy(gateway, stage.directory / "forked")
    await serve(forked, CALLS_FORKED)
    directory.mkdir()
    shutil.copy(gateway.log / "checkpoint", directory / "old.note")
    await serve(gateway, CALLS)
    gateway.directory.rename(directory / "gateway")
    forked.directory.rename(directory / "forked")


def copy(gateway: Gateway, directory: Path) -> Gateway:
    """A copy of a gateway that is stopped: configuration, keys, log."""
    shutil.copytree(gateway.directory, directory)
    copied = Gateway(gateway.stage, directory, gateway.port, gateway.key)
    copied.issuer = gateway.issuer
    return copied


async def serve(gateway: Gateway, calls: int) -> None:
    """Runs the gateway for so many calls."""
    await gateway.start()
    await call(gateway, calls)
    await gateway.stop()


async def call(gateway: Gateway, calls: int) -> None:
    """Has a client make so many calls through a gateway that runs."""
    limiter = anyio.Semaphore(CALLS_AT_ONCE)
    async with clients.over_http(gateway.url, gateway.token()) as client:
        async with anyio.create_task_group() as group:
            for _ in range(calls):
                group.start_soon(_call, client, limiter)


async def _call(client: Client, limiter: anyio.Semaphore) -> None:
    async with limiter:
        await client.list_tools()


def tampered(log: Path, directory: Path, file: str, offset: int = 100) -> Path:
    """A copy of the log in which one bit of one file is another."""
    shutil.copytree(log, directory)
    path = directory / file
    # Published files are read-only.
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)
    return directory


def edited(source: Path, target: Path, old: str, new: str) -> Path:
    """A copy of a text in which one thing is another."""
    text = source.read_text()
    if old not in text:
        raise Failed(f"`{old}` is not in {source.name}")
    target.write_text(text.replace(old, new, 1))
    return target


def entry(log: Path, index: int) -> bytes:
    """One entry, from the bundle it is in (tlog-tiles)."""
    folder = log / "tile" / "entries"
    number, rest = divmod(index, 256)
    path = folder / f"{number:03}"
    if not path.exists():
        widest = max((folder / f"{number:03}.p").iterdir(), key=lambda file: int(file.name))
        path = widest
    content = path.read_bytes()
    for _ in range(rest):
        content = content[2 + int.from_bytes(content[:2]) :]
    return content[2 : 2 + int.from_bytes(content[:2])]
