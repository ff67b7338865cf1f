"""Judges a timestamp by PyPI rfc3161-client.

    stamp.py ROOT_PEM RESPONSE STAMPED_FILE

Exit status: 0 when the response is a valid timestamp over the file, 1 when not.
"""

import sys
from pathlib import Path

from cryptography.x509 import load_pem_x509_certificate
from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response


def main(root: str, response: str, stamped: str) -> int:
    trusted = load_pem_x509_certificate(Path(root).read_bytes())
    verifier = VerifierBuilder().add_root_certificate(trusted).build()
    try:
        decoded = decode_timestamp_response(Path(response).read_bytes())
        verifier.verify_message(decoded, Path(stamped).read_bytes())
    except (VerificationError, ValueError) as error:
        print(f"refused: {error}")
        return 1
    print(decoded.tst_info.gen_time.isoformat())
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
