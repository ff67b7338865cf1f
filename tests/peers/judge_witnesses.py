"""Scenarios: witnesses of others judge our checkpoints, ours theirs (C2SP tlog-witness)."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import judging
import published
import repository
from gateway import Gateway
from published import Checkpoint, Published
from stage import Failed, Program, Stage, check, equal

CALLS = 5
"""Between two starts of a gateway."""

REFUSAL_SECONDS_MAX = 30.0
"""For a gateway to learn that a witness refuses."""


@dataclass
class Witness:
    """A witness that can be stopped and started again with what it remembers."""

    vkey: str
    port: int
    start: Callable[[], Awaitable[Program]]

    @property
    def url(self) -> str:
        """Where it takes checkpoints."""
        return f"http://127.0.0.1:{self.port}"


async def judge_aics_witness(stage: Stage) -> None:
    """PyPI aics-witness cosigns our log as it grows, and keeps evidence of the fork it refuses."""
    made = await published.make(stage)
    witness = await _aics_witness(stage, made.origin, made.vkey)
    await witness.start()
    await _fed(stage, made, witness)
    await _aics_evidence(stage)


async def judge_witness_log(stage: Stage) -> None:
    """The witness of PyPI witness-log gives the same answers."""
    made = await published.make(stage)
    witness = await _witness_log(stage, made.vkey)
    await witness.start()
    await _fed(stage, made, witness)


async def judge_our_witness(stage: Stage) -> None:
    """Our witness gives the same answers, and PyPI witness-log counts its cosignatures."""
    made = await published.make(stage)
    theirs = judging.script(stage, "witness_log_client")
    journal = str(stage.directory / "theirs.jsonl")
    their_key = (await judging.accepts(stage, *theirs, "key", journal)).strip()
    witness = await _ours(stage, [made.vkey, their_key])
    await witness.start()
    await _fed(stage, made, witness)
    submit = [*theirs, "submit", journal, witness.url, witness.vkey]
    await judging.accepts(stage, *submit)
    # Its verifier, told to trust another key.
    await judging.refuses(stage, "0 valid receipts", *submit, made.vkey)


async def judge_aics_witness_gateway(stage: Stage) -> None:
    """PyPI aics-witness cosigns for the gateway; rolled back or forked, nothing is published."""
    gateway = await _gateway(stage)
    witness = await _aics_witness(stage, _origin(gateway), _vkey(gateway))
    await _witnessed(stage, gateway, witness)
    await _aics_evidence(stage)


async def judge_witness_log_gateway(stage: Stage) -> None:
    """The same with the witness of PyPI witness-log."""
    gateway = await _gateway(stage)
    witness = await _witness_log(stage, _vkey(gateway))
    await _witnessed(stage, gateway, witness)


# --- the witnesses -------------------------------------------------------------------------------


async def _aics_witness(stage: Stage, origin: str, vkey: str) -> Witness:
    port = stage.free_port()
    tool, config = judging.program(stage, "aics-witness"), str(stage.directory / "aics.json")
    own = await judging.accepts(
        *(stage, tool, "init", "-c", config, "--name", "aics.example/w"),
        *("--listen", f"127.0.0.1:{port}"),
    )
    await judging.accepts(stage, tool, "add-log", "-c", config, "--origin", origin, "--vkey", vkey)

    async def start() -> Program:
        return await judging.served(stage, "aics-witness", port, tool, "serve", "-c", config)

    return Witness(own.strip(), port, start)


async def _aics_evidence(stage: Stage) -> None:
    """The witness kept what the log signed against itself."""
    tool, config = judging.program(stage, "aics-witness"), str(stage.directory / "aics.json")
    kept = json.loads(await judging.accepts(stage, tool, "evidence", "-c", config))
    check(len(kept) > 0, "the witness kept no evidence of the fork")


async def _witness_log(stage: Stage, vkey: str) -> Witness:
    port = stage.free_port()
    command = [*judging.script(stage, "witness_log_server"), str(port)]
    command += [str(stage.directory / "witness-log.state"), vkey]

    async def start() -> Program:
        return await judging.served(stage, "witness-log", port, *command)

    # It says its key when it starts; it is the same every time.
    program = await start()
    own = program.output().split("\n", 1)[0]
    program.stop()
    return Witness(own, port, start)


async def _ours(stage: Stage, vkeys: list[str]) -> Witness:
    port = stage.free_port()
    data = ["--data", str(stage.directory / "witness")]
    url = f"http://127.0.0.1:{port}"
    said = await judging.run_ours(
        stage, "witness", "init", "--name", "ours.example/w", *data, "--url", url
    )
    for vkey in vkeys:
        await judging.run_ours(stage, "witness", "add-log", *data, "--vkey", vkey)
    keys = [word for word in said.split() if word.startswith("ours.example/w+")]
    check(len(keys) == 2, f"keys of our witness: {said}")
    # The shorter one is Ed25519; the judges do not know ML-DSA.
    own = min(keys, key=len)
    serve = [str(stage.binary), "witness", "serve", *data, "--listen", f"127.0.0.1:{port}"]

    async def start() -> Program:
        return await judging.served(stage, "our-witness", port, *serve)

    return Witness(own, port, start)


# --- what they must do ---------------------------------------------------------------------------


async def _fed(stage: Stage, made: Published, witness: Witness) -> None:
    """Shows the witness our log and its fork; then judges what it cosigned."""
    feed = judging.script(stage, "feed")
    said = await judging.accepts(
        stage, *feed, witness.url, str(made.log), str(made.fork), str(made.old)
    )
    answers = json.loads(said)
    equal(
        {name: status for name, (status, _) in answers.items()},
        {
            "unsigned": 403,
            "first": 200,
            "wrong-proof": 422,
            "grown": 200,
            "rolled-back": 409,
            "forked": 422,
            "again": 200,
        },
        f"answers ({answers})",
    )
    size = Checkpoint.read(made.head).size
    equal(answers["rolled-back"][1], f"{size}\n", "the size in the answer to a roll-back")

    cosigned = stage.directory / "cosigned"
    shutil.copytree(made.log, cosigned)
    note = cosigned / "checkpoint"
    note.chmod(0o644)
    note.write_text(made.head.read_text() + answers["grown"][1])
    await _cosigned(stage, made.key, note, witness)


async def _cosigned(stage: Stage, key: Path, note: Path, witness: Witness) -> None:
    """PyPI aics-tlog counts the cosignature, and no altered one."""
    judge = [judging.program(stage, "aics-tlog"), "verify-checkpoint", "--vkey-file", str(key)]
    judge += ["--witness-key", witness.vkey, "--quorum", "1", "--note"]
    await judging.accepts(stage, *judge, str(note))
    line, content = _line_of(note.read_text(), witness.vkey)
    content[-1] ^= 1
    turned = f"{line.rsplit(' ', 1)[0]} {base64.b64encode(content).decode()}"
    altered = published.edited(note, stage.directory / "altered.note", line, turned)
    await judging.refuses(stage, '"ok": false', *judge, str(altered))
    without = published.edited(note, stage.directory / "without.note", line + "\n", "")
    await judging.refuses(stage, "quorum", *judge, str(without))


def _line_of(note: str, vkey: str) -> tuple[str, bytearray]:
    """The signature line of a key, and what it holds: the id of the key, then the signature."""
    for line in note.splitlines():
        if line.startswith("— "):
            content = base64.b64decode(line.rsplit(" ", 1)[1])
            if content[:4].hex() == vkey.split("+")[1]:
                return line, bytearray(content)
    raise Failed(f"no line of {vkey} in: {note}")


async def _gateway(stage: Stage) -> Gateway:
    path = await repository.make(stage)
    return await Gateway.make(stage, command=repository.server(stage, path))


def _vkey(gateway: Gateway) -> str:
    return (gateway.directory / "keys" / "log.key.pub").read_text().strip()


def _origin(gateway: Gateway) -> str:
    return _vkey(gateway).split("+")[0]


async def _witnessed(stage: Stage, gateway: Gateway, witness: Witness) -> None:
    """A gateway that publishes nothing without the witness: growing, rolled back, forked."""
    policy = f"log {_vkey(gateway)}\nwitness w {witness.vkey} {witness.url}\nquorum w\n"
    (gateway.directory / "witnesses.policy").write_text(policy)
    gateway.add_to_config(
        '\n[log.witness]\npolicy = "witnesses.policy"\nwithout_quorum = "stop-publishing"\n'
    )
    running = await witness.start()
    await published.serve(gateway, CALLS)
    forked = published.copy(gateway, stage.directory / "forked")
    await published.serve(gateway, CALLS)

    head = gateway.log / "checkpoint"
    key = gateway.directory / "keys" / "log.key.pub"
    await _cosigned(stage, key, head, witness)
    trusted = ["--policy", str(gateway.directory / "witnesses.policy")]
    await judging.verdict(stage, judging.VALID, *trusted, str(gateway.log))
    alone = stage.directory / "alone"
    shutil.copytree(gateway.log, alone)
    (alone / "checkpoint").chmod(0o644)
    (alone / "checkpoint").write_text((stage.directory / "without.note").read_text())
    await judging.verdict(stage, judging.UNWITNESSED, *trusted, str(alone))

    # Put back to an older copy, it does not start.
    config = str(forked.directory / "countersign.toml")
    await judging.refuses(
        stage, "it was rolled back", str(stage.binary), "serve", "--config", config
    )
    # It starts while the witness is away, and goes its own way; nothing of that is ever published.
    running.stop()
    before = Checkpoint.read(forked.log / "checkpoint").size
    await forked.start()
    await published.call(forked, 4 * CALLS)
    await witness.start()
    await _told(forked, "refused with 422")
    await forked.stop()
    equal(Checkpoint.read(forked.log / "checkpoint").size, before, "size that the fork published")


async def _told(gateway: Gateway, text: str) -> None:
    """Returns when the gateway says this of its log."""
    assert gateway.program is not None
    deadline = time.monotonic() + REFUSAL_SECONDS_MAX
    while text not in gateway.program.output():
        check(time.monotonic() < deadline, f"the gateway does not say `{text}`")
        await asyncio.sleep(0.1)
