"""The server of the soak: one tool of each temper, over HTTP or on standard input and output.

`server.py http PORT` or `server.py stdio`. Knows nothing of the gateway. Standard library only.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOOLS = ["fails", "fine", "slow", "stream", "wrong"]

SLOW_SECONDS = 0.2
CHUNKS = 40
CHUNK_BYTES = 8_192


def message(number: Any, **parts: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, **parts}).encode()


def progress(step: int) -> bytes:
    params = {"progressToken": "p", "progress": step, "message": "x" * CHUNK_BYTES}
    note = {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}
    return json.dumps(note).encode()


def answer(asked: dict[str, Any]) -> bytes:
    """The answer to anything that needs no stream."""
    number, method = asked["id"], asked["method"]
    params = asked.get("params", {})
    text = [{"type": "text", "text": "said"}]
    if method == "initialize":
        result: Any = {
            "protocolVersion": params["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "soak", "version": "1"},
        }
    elif method == "tools/list":
        schema = {"type": "object"}
        result = {"tools": [{"name": name, "inputSchema": schema} for name in TOOLS]}
    elif method != "tools/call":
        result = {}
    elif params["name"] == "wrong":
        return message(number, error={"code": -32_602, "message": "wrong"})
    else:
        if params["name"] == "slow":
            time.sleep(SLOW_SECONDS)
        result = {"content": text, "isError": params["name"] == "fails"}
    return message(number, result=result | {"resultType": "complete"})


class Handler(BaseHTTPRequestHandler):
    """One connection of the gateway."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        """Says nothing."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if "id" not in asked or "method" not in asked:
            return self.reply(202, b"")
        if asked["method"] == "tools/call" and asked["params"]["name"] == "stream":
            return self.stream(asked)
        headers = {"content-type": "application/json"}
        if asked["method"] == "initialize":
            headers["mcp-session-id"] = uuid.uuid4().hex
        return self.reply(200, answer(asked), headers)

    def do_GET(self) -> None:
        self.reply(405, b"")

    def do_DELETE(self) -> None:
        self.reply(200, b"")

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, asked: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for step in range(CHUNKS):
            self.event(progress(step))
        self.event(answer(asked))
        self.wfile.write(b"0\r\n\r\n")

    def event(self, body: bytes) -> None:
        body = b"data: " + body + b"\n\n"
        self.wfile.write(f"{len(body):x}\r\n".encode() + body + b"\r\n")


class Server(ThreadingHTTPServer):
    """Many connections; one that breaks is nobody's business."""

    request_queue_size = 256

    def handle_error(self, *_: Any) -> None:
        """Says nothing."""


def stdio() -> None:
    written = threading.Lock()

    def say(body: bytes) -> None:
        with written:
            sys.stdout.buffer.write(body + b"\n")
            sys.stdout.buffer.flush()

    def serve(asked: dict[str, Any]) -> None:
        if asked["method"] == "tools/call" and asked["params"]["name"] == "stream":
            for step in range(CHUNKS):
                say(progress(step))
        say(answer(asked))

    for line in sys.stdin.buffer:
        asked = json.loads(line)
        if "id" in asked and "method" in asked:
            threading.Thread(target=serve, args=(asked,), daemon=True).start()


if __name__ == "__main__":
    if sys.argv[1] == "http":
        Server(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
    else:
        stdio()
