"""Scenarios: judges of the published files: checkpoints, tiles, bundles, and proofs from them."""

from __future__ import annotations

from pathlib import Path

import judging
import published
from published import Checkpoint, Published
from stage import Stage, check

FULL_TILE = "tile/0/001"
FULL_BUNDLE = "tile/entries/001"


async def judge_aics_tlog(stage: Stage) -> None:
    """PyPI aics-tlog accepts checkpoint, tiles, entries and growth; no fork, no altered bit."""
    made = await published.make(stage)
    tool = judging.program(stage, "aics-tlog")
    key = ["--vkey-file", str(made.key)]
    head = made.head
    said = await judging.accepts(stage, tool, "verify-checkpoint", *key, "--tiles", str(made.log))
    check('"tiles_ok": true' in said, f"tiles: {said}")
    size = Checkpoint.read(head).size
    for index in (0, 255, 256, size // 2, size - 1):
        entry = ["--index", str(index), "--leaf", str(_leaf(stage, made, index))]
        await judging.accepts(
            stage, tool, "verify-inclusion", *key, "--tiles", str(made.log), *entry
        )
    grown = ["verify-consistency", *key, "--old-checkpoint"]
    await judging.accepts(stage, tool, *grown, str(made.old), "--tiles", str(made.log))
    await judging.accepts(stage, *judging.script(stage, "audit"), str(made.log), str(made.key))

    # What must be refused.
    said = await judging.refuses(
        stage, "history was rewritten", tool, *grown, str(head), "--tiles", str(made.fork)
    )
    check('"evidence"' in said, f"the fork without both notes as evidence: {said}")
    back = ["--checkpoint", str(made.old), "--tiles", str(made.log)]
    await judging.refuses(stage, "is older than the saved one", tool, *grown, str(head), *back)
    entry = ["--index", "300", "--leaf", str(_leaf(stage, made, 301)), "--tiles", str(made.log)]
    await judging.refuses(
        stage, "not included at this index", tool, "verify-inclusion", *key, *entry
    )
    claimed = published.edited(head, stage.directory / "claimed.note", f"{size}\n", f"{size + 1}\n")
    await judging.refuses(
        stage, "failed verification", tool, "verify-checkpoint", *key, "--note", str(claimed)
    )
    for file in (FULL_TILE, FULL_BUNDLE):
        bad = published.tampered(made.log, stage.directory / f"bad-{Path(file).parent.name}", file)
        audit = judging.script(stage, "audit")
        await judging.refuses(stage, "refused", *audit, str(bad), str(made.key))


async def judge_pymerkle(stage: Stage) -> None:
    """PyPI pymerkle computes the roots of our checkpoints from the entries, others from others."""
    made = await published.make(stage)
    roots = judging.script(stage, "roots")
    head = made.head
    await judging.accepts(stage, *roots, str(made.log), str(made.old), str(head))
    await judging.accepts(
        stage, *roots, str(made.fork), str(made.old), str(made.fork / "checkpoint")
    )
    await judging.refuses(stage, "refused", *roots, str(made.fork), str(head))
    bad = published.tampered(made.log, stage.directory / "bad", FULL_BUNDLE)
    await judging.refuses(stage, "refused", *roots, str(bad), str(head))


async def judge_go_sumdb(stage: Stage) -> None:
    """Go's note and tlog packages accept note, tiles, entries and proofs; no altered ones."""
    made = await published.make(stage)
    judge = [judging.sumdb(stage), "-key", str(made.key)]
    await judging.accepts(stage, *judge, "-log", str(made.log), "-old", str(made.old))
    await judging.accepts(stage, *judge, "-log", str(made.fork), "-old", str(made.old))
    head = str(made.head)
    await judging.refuses(stage, "does not extend", *judge, "-log", str(made.fork), "-old", head)
    longer = str(made.fork / "checkpoint")
    await judging.refuses(stage, "went back", *judge, "-log", str(made.log), "-old", longer)
    size_digit = len(made.origin) + 2
    wrong = [
        (FULL_TILE, 100, "tile/0/001 is not of this tree"),
        (FULL_BUNDLE, 100, "the entries do not have the signed root"),
        ("checkpoint", size_digit, "invalid signature"),
    ]
    for number, (file, offset, saying) in enumerate(wrong):
        bad = published.tampered(made.log, stage.directory / f"bad-{number}", file, offset)
        await judging.refuses(stage, saying, *judge, "-log", str(bad))


async def judge_ours(stage: Stage) -> None:
    """Our own verifier says the same of the same files: valid, forked, altered."""
    made = await published.make(stage)
    trusted = ["--key", str(made.key), "--checkpoint"]
    await judging.verdict(stage, judging.VALID, *trusted, str(made.old), str(made.log))
    await judging.verdict(stage, judging.VALID, *trusted, str(made.old), str(made.fork))
    evidence = stage.directory / "evidence"
    kept = ["--evidence", str(evidence)]
    await judging.verdict(stage, judging.FORKED, *kept, *trusted, str(made.head), str(made.fork))
    check(len(list(evidence.iterdir())) == 2, "the fork without both notes as evidence")
    for file in (FULL_TILE, FULL_BUNDLE):
        bad = published.tampered(made.log, stage.directory / f"bad-{Path(file).parent.name}", file)
        await judging.verdict(stage, judging.ALTERED, *trusted, str(made.old), str(bad))


async def judge_theirs(stage: Stage) -> None:
    """A log that PyPI aics-tlog wrote is judged by our verifier: valid, altered, of another key."""
    log, key = stage.directory / "theirs", stage.directory / "theirs.vkey"
    writer = judging.script(stage, "write_log")
    await judging.accepts(stage, *writer, str(log), str(key))
    trusted = ["--opaque", "--key", str(key)]
    await judging.verdict(stage, judging.VALID, *trusted, str(log))
    await judging.verdict(stage, judging.UNPROVEN, "--opaque", str(log))
    for file in (FULL_TILE, FULL_BUNDLE):
        bad = published.tampered(log, stage.directory / f"bad-{Path(file).parent.name}", file)
        await judging.verdict(stage, judging.ALTERED, *trusted, str(bad))
    other = stage.directory / "other.vkey"
    await judging.accepts(stage, *writer, str(stage.directory / "other"), str(other))
    await judging.verdict(stage, judging.WRONG_KEY, "--opaque", "--key", str(other), str(log))


def _leaf(stage: Stage, made: Published, index: int) -> Path:
    path = stage.directory / f"entry-{index}"
    path.write_bytes(published.entry(made.log, index))
    return path
