"""Writes a log of 600 entries by PyPI aics-tlog, for others to judge.

write_log.py NEW_DIRECTORY VKEY_FILE
"""

import sys
from pathlib import Path

from aics_tlog import (
    Checkpoint,
    DirectoryTileStore,
    IncrementalTileWriter,
    format_vkey,
    sign_checkpoint,
    vkey_from_ed25519,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ORIGIN = "theirs.example/log"


def main(directory: str, vkey: str) -> None:
    key = Ed25519PrivateKey.generate()
    store = DirectoryTileStore(directory)
    writer = IncrementalTileWriter(store, size=0)
    writer.append([f"entry {number}: {'ä' * number}".encode() for number in range(600)])
    note = sign_checkpoint(Checkpoint(ORIGIN, writer.size, writer.root()), key, ORIGIN)
    store.write_checkpoint(note.to_bytes())
    line = format_vkey(vkey_from_ed25519(ORIGIN, key.public_key())) + "\n"
    (Path(directory) / "origin.vkey").write_text(line)
    Path(vkey).write_text(line)


if __name__ == "__main__":
    main(*sys.argv[1:])
