"""Puts the witness of PyPI witness-log behind HTTP, where it answers every `add-checkpoint` itself.

    witness_log_server.py PORT STATE_FILE LOG_VKEY

Prints its verifier key, which is the same at every start; its memory is the file.
"""

import contextlib
import hashlib
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from witness_log import WitnessService


def main(port: str, state: str, vkey: str) -> None:
    if not Path(state).exists():
        WitnessService.create_state(state)
    seed = hashlib.sha256(b"a witness for trials").digest()
    service = WitnessService.new("witness-log.example/w", seed, state)
    service.add_log(vkey.split("+")[0], vkey)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            status, media_type, text = 404, "text/plain", ""
            if self.path == "/add-checkpoint":
                status, media_type, text = service.handle_add_checkpoint_http(body)
            self.answer(status, media_type, text)

        def do_GET(self) -> None:
            self.answer(404, "text/plain", "")

        def answer(self, status: int, media_type: str, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            # A gateway that stops does not wait for the answer.
            with contextlib.suppress(ConnectionError):
                self.wfile.write(text.encode())

    # Before anybody can connect.
    print(service.vkey(), flush=True)
    HTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
