"""What the log says happened, one line a call, and whether that is what should have happened.

A line reads `ACTOR METHOD [NAME] DECISION OUTCOME`:

    issuer/build-agent tools/call echo permit ok
    anonymous initialize forbid identity.missing
    upstream/crm to-client/sampling/createMessage permit ok

For refused calls the outcome is the reason. Reads logs through `countersign search --json` only.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

from stage import Failed, Stage, check

SETTLE_SECONDS_MAX = 20.0
"""For the end of the last call to be on record."""

Record = dict[str, Any]


async def read(stage: Stage, log: Path, *filters: str) -> list[Record]:
    """The calls on record."""
    ended = await stage.run(str(stage.binary), "search", str(log), "--json", *filters)
    check(ended.status == 0, f"search failed: {ended.errors}")
    return [json.loads(line) for line in ended.output.splitlines()]


async def settled(stage: Stage, log: Path, stays_open: str | None = None) -> None:
    """Returns when every call has its end on record, except those of a tool that stays open.

    A question to a client that left is open for as long as its session is: that client may come back.
    """
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while True:
        still_open = [
            line(record)
            for record in await read(stage, log)
            if outcome(record) == "open"
            and record["direction"] == "to-server"
            and stays_open not in record["resource"].get("names", [])
        ]
        if not still_open:
            return
        check(time.monotonic() < deadline, f"calls without an end on record: {still_open}")
        await asyncio.sleep(0.05)


def actor(record: Record) -> str:
    """The caller as policies name it."""
    who = record["actor"]
    return f"{who['provider']}/{who['id']}" if who.get("provider") else str(who["id"])


def outcome(record: Record) -> str:
    """What came out; for a refused call, why."""
    if record["kind"] == "call.refused":
        return str(record["refusal"]["reason"])
    return str(record["outcome"]["status"]) if "outcome" in record else "open"


def policies(record: Record) -> list[str]:
    """The policies that decided."""
    return list(record.get("decision", {}).get("determining", []))


def line(record: Record) -> str:
    """One call in one line."""
    resource = record.get("resource", {})
    decision = "forbid" if record["kind"] == "call.refused" else "permit"
    method = resource.get("method", "-")
    if record["direction"] == "to-client":
        method = f"to-client/{method}"
    words = [actor(record), method, *resource.get("names", [])]
    return " ".join([*words, decision, outcome(record)])


def expect(records: list[Record], wanted: str) -> None:
    """Fails unless exactly the wanted calls are on record, in any order.

    A line may begin with a count (`3 x ...`), with `+` (once or more) or with `?` (any number).
    """
    found = Counter(line(record) for record in records)
    problems = []
    for text in filter(None, map(str.strip, wanted.splitlines())):
        first, rest = text.split(" ", 1)
        least, most = 1, 1.0
        if first == "?":
            least, most, text = 0, float("inf"), rest
        elif first == "+":
            least, most, text = 1, float("inf"), rest
        elif first.isdigit() and rest.startswith("x "):
            least, most, text = int(first), float(first), rest[2:]
        text = " ".join(text.split())
        count = found.pop(text, 0)
        if not least <= count <= most:
            problems.append(f"  {count} times instead of {least}: {text}")
    problems += [f"  {count} times and not expected: {text}" for text, count in found.items()]
    if problems:
        raise Failed("the trail is not what it should be:\n" + "\n".join(problems))
