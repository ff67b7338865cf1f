"""Scenarios: judges of receipts of single entries: COSE (RFC 9942) and C2SP tlog-proof."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

import judging
import published
from published import Checkpoint, Published
from stage import Stage, equal

INDEXES = (0, 255, 256, 300)
"""Besides the last one."""


async def judge_scitt_cose(stage: Stage) -> None:
    """PyPI scitt-cose verifies our COSE receipts, no altered ones; our verifier its receipt."""
    made = await published.make(stage)
    size = Checkpoint.read(made.head).size
    key = _pem(stage, "log", made.vkey)
    judge = [judging.program(stage, "scitt-cose"), "--json", "--receipt-log-pubkey", str(key)]
    for index in (*INDEXES, size - 1):
        receipt = stage.directory / f"{index}.receipt"
        await judging.run_ours(
            *(stage, "receipt", str(index), "--log", str(made.log), "--format", "cose"),
            *("--key", str(made.private), "--out", str(receipt)),
        )
        said = await judging.accepts(stage, *judge, *_of(receipt, _entry(made, index)))
        report = json.loads(said)["receipt"]
        found = (report["ok"], report["leaf_index"], report["tree_size"])
        equal(found, (True, index, size), "what scitt-cose says")
        root = bytes.fromhex(report["root"])
        equal(root, Checkpoint.read(made.head).root, "root of the receipt")

    receipt = stage.directory / "300.receipt"
    entry = _entry(made, 300)
    refused = '"ok": false'
    await judging.refuses(stage, refused, *judge, *_of(receipt, _entry(made, 301)))
    content = receipt.read_bytes()
    altered = stage.directory / "altered.receipt"
    # The ends of a receipt: a header, and the signature.
    for place in (8, len(content) - 1, len(content) - 80):
        altered.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        await judging.refuses(stage, refused, *judge, *_of(altered, entry))
    await _theirs(stage, made)
    other = _pem(stage, "other", (stage.directory / "theirs.vkey").read_text().strip())
    judge[-1] = str(other)
    await judging.refuses(stage, refused, *judge, *_of(receipt, entry))


async def judge_tlog_proof(stage: Stage) -> None:
    """Go's packages and PyPI aics-tlog verify our tlog-proofs, and no altered ones."""
    made = await published.make(stage)
    size = Checkpoint.read(made.head).size
    for index in (*INDEXES, size - 1):
        proof = stage.directory / f"{index}.tlog-proof"
        await judging.run_ours(
            stage, "receipt", str(index), "--log", str(made.log), "--out", str(proof)
        )
        await judging.accepts(stage, *_go(stage, made, index, proof))
        await judging.accepts(stage, *_aics(stage, made, index, proof))
        trusted = ["receipt", "--key", str(made.key), "--entry", str(_leaf(stage, made, index))]
        await judging.verdict(stage, judging.VALID, *trusted, str(proof))
    proof = stage.directory / "300.tlog-proof"
    moved = published.edited(proof, stage.directory / "moved", "index 300\n", "index 301\n")
    await judging.refuses(stage, "invalid transparency proof", *_go(stage, made, 300, moved))
    await judging.refuses(stage, "does not verify", *_aics(stage, made, 300, moved))
    await judging.refuses(stage, "invalid transparency proof", *_go(stage, made, 301, proof))
    await judging.refuses(stage, "does not verify", *_aics(stage, made, 301, proof))
    grown = published.edited(proof, stage.directory / "grown", f"\n{size}\n", f"\n{size + 1}\n")
    await judging.refuses(stage, "invalid signature", *_go(stage, made, 300, grown))


async def _theirs(stage: Stage, made: Published) -> None:
    """Our verifier judges a receipt that scitt-cose made."""
    receipt, entry, vkey = (
        stage.directory / name for name in ("theirs.receipt", "theirs.entry", "theirs.vkey")
    )
    await judging.accepts(
        stage, *judging.script(stage, "write_receipt"), str(receipt), str(entry), str(vkey)
    )
    given = ["receipt", "--key", str(vkey), "--entry"]
    await judging.verdict(stage, judging.VALID, *given, str(entry), str(receipt))
    wrong = stage.directory / "wrong.entry"
    wrong.write_bytes(entry.read_bytes() + b"!")
    await judging.verdict(stage, judging.WRONG_KEY, *given, str(wrong), str(receipt))
    ours = ["receipt", "--key", str(made.key), "--entry", str(entry)]
    await judging.verdict(stage, judging.WRONG_KEY, *ours, str(receipt))


def _of(receipt: Path, entry: bytes) -> list[str]:
    return ["--receipt", str(receipt), "--leaf-entry-hex", entry.hex()]


def _entry(made: Published, index: int) -> bytes:
    return published.entry(made.log, index)


def _leaf(stage: Stage, made: Published, index: int) -> Path:
    path = stage.directory / f"{index}.entry"
    path.write_bytes(_entry(made, index))
    return path


def _go(stage: Stage, made: Published, index: int, proof: Path) -> list[str]:
    judge = [judging.sumdb(stage), "-key", str(made.key), "-proof", str(proof)]
    return [*judge, "-entry", str(_leaf(stage, made, index))]


def _aics(stage: Stage, made: Published, index: int, proof: Path) -> list[str]:
    """aics-tlog takes the parts of a tlog-proof from files of their own."""
    head, checkpoint = proof.read_text().split("\n\n", 1)
    _, number, *hashes = head.split("\n")
    note, lines = proof.with_suffix(".note"), proof.with_suffix(".hashes")
    note.write_text(checkpoint)
    lines.write_text("\n".join(hashes) + "\n")
    judge = [judging.program(stage, "aics-tlog"), "verify-inclusion", "--vkey-file", str(made.key)]
    judge += ["--checkpoint", str(note), "--proof", str(lines)]
    return [*judge, "--index", number.split()[1], "--leaf", str(_leaf(stage, made, index))]


def _pem(stage: Stage, name: str, vkey: str) -> Path:
    """A verifier key in the form that COSE tools read."""
    raw = base64.b64decode(vkey.split("+", 2)[2])[1:]
    path = stage.directory / f"{name}.pem"
    path.write_bytes(
        Ed25519PublicKey.from_public_bytes(raw).public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return path
