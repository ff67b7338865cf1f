"""Scenarios: judges of the time stamps over checkpoints (RFC 3161)."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import judging
import published
import repository
from gateway import Gateway
from published import tampered
from stage import Stage, check

STAMP_SECONDS_MAX = 30.0
"""For a stamp over a new checkpoint to be stored."""


async def judge_rfc3161(stage: Stage) -> None:
    """OpenSSL stamps our checkpoints; PyPI rfc3161-client and OpenSSL verify the stamps."""
    root = await _authority(stage, "tsa")
    path = await repository.make(stage)
    gateway = await Gateway.make(stage, command=repository.server(stage, path))
    gateway.add_to_config(
        f'\n[log.tsa]\nurls = ["{root.url}"]\nroots = "{root.file}"\ninterval_s = 1\n'
    )
    await gateway.start()
    await published.call(gateway, 3)
    await _stamped(gateway)
    await gateway.stop()

    stamps = sorted((gateway.log / "timestamps").glob("*.tsr"))
    for stamp in stamps:
        note = stamp.with_suffix(".note")
        said = await _judged(stage, root.file, stamp, note)
        check(said.startswith("20"), f"stamped time: {said}")
    await _theirs_refuse(stage, root.file, stamps[0])
    await _ours(stage, gateway, root.file, stamps[0])


class _Root:
    def __init__(self, file: Path, url: str) -> None:
        self.file = file
        self.url = url


async def _authority(stage: Stage, name: str) -> _Root:
    port = stage.free_port()
    directory = stage.directory / name
    await judging.served(
        stage, name, port, *judging.script(stage, "tsa"), str(port), str(directory)
    )
    return _Root(directory / "root.pem", f"http://127.0.0.1:{port}/")


async def _stamped(gateway: Gateway) -> None:
    """Returns when a checkpoint and its stamp are stored."""
    deadline = time.monotonic() + STAMP_SECONDS_MAX
    while not list((gateway.log / "timestamps").glob("*.tsr")):
        check(time.monotonic() < deadline, "no stamp is stored")
        await asyncio.sleep(0.1)


async def _judged(stage: Stage, root: Path, stamp: Path, note: Path) -> str:
    await judging.accepts(stage, *_openssl(root, stamp, note))
    return await judging.accepts(
        stage, *judging.script(stage, "stamp"), str(root), str(stamp), str(note)
    )


def _openssl(root: Path, stamp: Path, note: Path) -> list[str]:
    files = ["-data", str(note), "-in", str(stamp), "-CAfile", str(root)]
    return ["openssl", "ts", "-verify", *files]


async def _theirs_refuse(stage: Stage, root: Path, stamp: Path) -> None:
    """Another text, another root, an altered answer."""
    note = stamp.with_suffix(".note")
    text = published.edited(note, stage.directory / "edited.note", "\n", "\n\n")
    other = await _authority(stage, "other-tsa")
    altered = stage.directory / "altered.tsr"
    content = bytearray(stamp.read_bytes())
    # The end of the answer is the end of the signature.
    content[-1] ^= 1
    altered.write_bytes(content)
    judge = judging.script(stage, "stamp")
    for trusted, answer, stamped in (
        (root, stamp, text),
        (other.file, stamp, note),
        (root, altered, note),
    ):
        await judging.refuses(stage, "refused", *judge, str(trusted), str(answer), str(stamped))
        await judging.refuses(stage, "Verification: FAILED", *_openssl(trusted, answer, stamped))


async def _ours(stage: Stage, gateway: Gateway, root: Path, stamp: Path) -> None:
    """Our verifier judges the same stamps."""
    key = gateway.directory / "keys" / "log.key.pub"
    trusted = ["--key", str(key), "--tsa-roots"]
    await judging.verdict(stage, judging.VALID, *trusted, str(root), str(gateway.log))
    bad = tampered(gateway.log, stage.directory / "bad", f"timestamps/{stamp.name}", -1)
    await judging.verdict(stage, judging.ALTERED, *trusted, str(root), str(bad))
    other = stage.directory / "other-tsa" / "root.pem"
    await judging.verdict(stage, judging.ALTERED, *trusted, str(other), str(gateway.log))
