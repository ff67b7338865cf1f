"""Computes roots over the entries of a log by PyPI pymerkle, and compares them with checkpoints.

    roots.py LOG CHECKPOINT...

Exit status: 0 when the first `size` entries have the root that each checkpoint says, 1 when not.
Looks at bundles only: no tile, no signature.
"""

import base64
import sys
from pathlib import Path

from pymerkle import InmemoryTree


def entries(log: Path, size: int) -> list[bytes]:
    """The entries from the bundles: each after its length in two bytes (C2SP tlog-tiles)."""
    found: list[bytes] = []
    while len(found) < size:
        number, width = len(found) // 256, min(256, size - len(found))
        # Up to a thousand bundles, which is enough here.
        name = f"{number:03}" if width == 256 else f"{number:03}.p/{width}"
        content = (log / "tile" / "entries" / name).read_bytes()
        for _ in range(width):
            length = int.from_bytes(content[:2])
            found.append(content[2 : 2 + length])
            content = content[2 + length :]
    return found


def main(log: str, *checkpoints: str) -> int:
    tree = InmemoryTree(algorithm="sha256")
    _, size, *_ = (Path(log) / "checkpoint").read_text().split("\n")
    for entry in entries(Path(log), int(size)):
        tree.append_entry(entry)
    for path in checkpoints:
        _, size, root, *_ = Path(path).read_text().split("\n")
        computed = base64.b64encode(tree.get_root(int(size))).decode()
        if computed != root:
            print(f"refused: the first {size} entries have the root {computed}, not {root}")
            return 1
        print(f"{size} entries have the root {root}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
