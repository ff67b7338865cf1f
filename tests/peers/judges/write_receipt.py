"""Writes a COSE receipt by PyPI scitt-cose, for others to judge.

    write_receipt.py RECEIPT_FILE ENTRY_FILE VKEY_FILE

The key is written as the verifier key of a log (C2SP signed-note).
"""

import base64
import hashlib
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from scitt_cose import build_receipt

ORIGIN = "theirs.example/log"
ENTRIES = [f"entry {number}".encode() for number in range(11)]
INDEX = 7


def main(receipt: str, entry: str, vkey: str) -> None:
    key = Ed25519PrivateKey.generate()
    public = b"\x01" + key.public_key().public_bytes_raw()
    key_id = hashlib.sha256(ORIGIN.encode() + b"\n" + public).digest()[:4]
    made = build_receipt(
        leaf_entry_hex=ENTRIES[INDEX].hex(),
        leaf_index=INDEX,
        tree_entries_hex=[entry.hex() for entry in ENTRIES],
        alg="EdDSA",
        log_private_key_pem=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        iss=ORIGIN,
        kid=key_id,
    )
    Path(receipt).write_bytes(made)
    Path(entry).write_bytes(ENTRIES[INDEX])
    Path(vkey).write_text(f"{ORIGIN}+{key_id.hex()}+{base64.b64encode(public).decode()}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
