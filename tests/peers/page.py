"""The parts of `docs/compatibility.md` that runs write, or are held against. Knows not what is in them."""

from __future__ import annotations

import difflib
from pathlib import Path

from stage import Stage, check

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"

HOW = "tests/peers/run --write-docs compatibility conformance"


def publish(stage: Stage, part: str, text: str) -> None:
    """Writes a part of the page between its marks, or holds what is there against it."""
    begin, end = f"<!-- {part} -->\n", f"\n<!-- end of {part} -->"
    before, _, rest = PAGE.read_text().partition(begin)
    committed, _, after = rest.partition(end)
    check(bool(after), f"{PAGE.name} has no part `{part}`")
    if stage.writes_docs:
        PAGE.write_text(before + begin + text + end + after)
        return
    diff = difflib.unified_diff(committed.splitlines(), text.splitlines(), lineterm="", n=0)
    check(committed == text, "\n".join([*diff, f"{HOW} writes {PAGE.name} anew"]))


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
