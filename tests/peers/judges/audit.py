"""Judges every tile and every entry of a log by `aics_tlog.audit_tiles` (PyPI aics-tlog).

    audit.py LOG VKEY_FILE

Exit status: 0 when everything is as the signed checkpoint says, 1 when not.
"""

import sys
from pathlib import Path

from aics_tlog import (
    DirectoryTileStore,
    TileMissingError,
    TileVerificationError,
    audit_tiles,
    parse_note,
    parse_vkey,
    verify_checkpoint,
)


def main(log: str, key: str) -> int:
    note = parse_note((Path(log) / "checkpoint").read_bytes())
    head = verify_checkpoint(note, parse_vkey(Path(key).read_text().strip()))
    if not head.ok:
        print(f"refused: {head.error}")
        return 1
    try:
        report = audit_tiles(DirectoryTileStore(log), head.size, head.root)
    except (TileMissingError, TileVerificationError) as error:
        print(f"refused: {error}")
        return 1
    print(f"{report.size} entries in {report.bundles} bundles and {report.tiles} tiles")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
