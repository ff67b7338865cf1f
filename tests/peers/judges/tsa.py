"""A timestamp authority (RFC 3161) over HTTP that has `openssl ts` make every answer.

    tsa.py PORT NEW_DIRECTORY

Its root certificate is in NEW_DIRECTORY/root.pem. Its answers hold the signer's certificate and no
others: PyPI rfc3161-client refuses what OpenSSL writes when it adds a chain, an unsorted set.
"""

import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

CONFIGURATION = """
[req]
distinguished_name = name
prompt = no
[name]
CN = replaced
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[signer]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[tsa]
default_tsa = this
[this]
serial = serial
signer_cert = signer.pem
signer_key = signer.key
signer_digest = sha256
default_policy = 1.3.6.1.4.1.99999.1
digests = sha256
accuracy = secs:1
ess_cert_id_alg = sha256
"""


def openssl(directory: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)


def make(directory: Path) -> None:
    """A root and a signer that it vouches for."""
    directory.mkdir()
    (directory / "openssl.cnf").write_text(CONFIGURATION)
    (directory / "serial").write_text("01\n")
    for name in ("root", "signer"):
        key = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
        openssl(directory, "genpkey", *key, "-out", f"{name}.key")
    request = ["req", "-new", "-config", "openssl.cnf", "-sha256"]
    self_signed = ["-x509", "-days", "2", "-extensions", "root"]
    openssl(
        *(directory, *request, *self_signed, "-subj", "/CN=Root for trials"),
        *("-key", "root.key", "-out", "root.pem"),
    )
    openssl(directory, *request, "-subj", "/CN=TSA", "-key", "signer.key", "-out", "signer.csr")
    openssl(
        *(directory, "x509", "-req", "-in", "signer.csr", "-days", "2", "-sha256"),
        *("-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial"),
        *("-extfile", "openssl.cnf", "-extensions", "signer", "-out", "signer.pem"),
    )


def main(port: str, directory: str) -> None:
    place = Path(directory)
    make(place)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            (place / "query.tsq").write_bytes(query)
            reply = ["ts", "-reply", "-config", "openssl.cnf", "-queryfile", "query.tsq"]
            openssl(place, *reply, "-out", "reply.tsr")
            answer = (place / "reply.tsr").read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    HTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
