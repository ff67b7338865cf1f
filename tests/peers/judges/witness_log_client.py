"""Has a log of PyPI witness-log cosigned by a witness, and its own verifier judge the outcome.

    witness_log_client.py key JOURNAL                            prints the log's verifier key
    witness_log_client.py submit JOURNAL WITNESS_URL WITNESS_VKEY [PINNED_VKEY]

`submit` appends to the log and asks the witness, twice, so that the second time needs a proof. Exit
status: 0 when its verifier counts a receipt of the pinned key, 1 when not. (Its best verdict needs
witnesses of two operators.)
"""

import base64
import json
import sys

import witness_log


def open_log(path: str) -> witness_log.JournaledLog:
    return witness_log.open(path)


def public_key(vkey: str) -> str:
    """The key in a verifier key line, without its type, in hexadecimal digits."""
    return base64.b64decode(vkey.split("+", 2)[2])[1:].hex()


def directory(url: str, vkey: str) -> str:
    entry = witness_log.witness_entry_independent("ours", "another", url, public_key(vkey))
    return json.dumps({"witnesses": [json.loads(entry)]})


def submit(journal: str, url: str, vkey: str, pinned: str) -> int:
    with open_log(journal) as log:
        for _ in range(2):
            for number in range(5):
                log.append_intent(f"payload {number}".encode())
            done = witness_log.submit_round(log, directory(url, vkey), f"{journal}.witnesses.json")
            print(json.dumps(done.outcomes))
            if not done.ok:
                return 1
        identity = log.identity_pubkey_hex()
    report = json.loads(
        witness_log.verify_dossier_json(
            done.dossier_json,
            0.5,
            expected_identity_pubkey=identity,
            trusted_directory_json=directory(url, pinned),
            min_witnesses=1,
        )
    )
    count = report["quorum"]["valid_receipts"]
    print(f"{count} valid receipts, {'consistent' if report['internally_consistent'] else report}")
    return 0 if report["internally_consistent"] and count == 1 else 1


def main(command: str, journal: str, *arguments: str) -> int:
    if command == "key":
        with open_log(journal) as log:
            print(log.c2sp_vkey(log.canonical_origin()))
        return 0
    url, vkey, *pinned = arguments
    return submit(journal, url, vkey, pinned[0] if pinned else vkey)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
