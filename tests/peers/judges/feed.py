"""Shows a witness the checkpoints of a log as an honest and as a dishonest log would (C2SP
tlog-witness), with proofs that PyPI aics-tlog makes from the published tiles.

    feed.py WITNESS_URL LOG FORK OLD_CHECKPOINT

FORK is a longer log by the same key that has in common with LOG what is under the old checkpoint.
Prints what the witness answered: one JSON object, `name: [status, text]`.
"""

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path

from aics_tlog import DirectoryTileStore, consistency_proof_from_tiles, parse_checkpoint, parse_note
from aics_witness.protocol import format_add_checkpoint_request


def main(url: str, log: str, fork: str, old: str) -> None:
    def ask(old_size: int, proof: list[bytes], note: bytes) -> tuple[int, str]:
        body = format_add_checkpoint_request(old_size, proof, note)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{url}/add-checkpoint", body, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def proof(directory: str, first: int, second: int) -> list[bytes]:
        return consistency_proof_from_tiles(DirectoryTileStore(directory), first, second)

    notes = [Path(old), Path(log) / "checkpoint", Path(fork) / "checkpoint"]
    first, head, forked = (path.read_bytes() for path in notes)
    sizes = [parse_checkpoint(parse_note(note).text).size for note in (first, head, forked)]
    small, size, longer = sizes
    altered = head.replace(f"\n{size}\n".encode(), f"\n{size + 1}\n".encode(), 1)
    answers = {
        "unsigned": ask(0, [], altered),
        "first": ask(0, [], first),
        "wrong-proof": ask(small, proof(fork, small, longer), head),
        "grown": ask(small, proof(log, small, size), head),
        "rolled-back": ask(0, [], first),
        "forked": ask(size, proof(fork, size, longer), forked),
        "again": ask(size, [], head),
    }
    print(json.dumps(answers))


if __name__ == "__main__":
    main(*sys.argv[1:])
