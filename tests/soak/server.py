"""The server of the soak: one tool of each temper, by Streamable HTTP, by HTTP+SSE, or on standard input
and output.

`server.py http PORT` or `server.py stdio`. Knows nothing of the gateway. Standard library only.
"""

from __future__ import annotations

import json
import queue
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
WAITING_MAX = 1_000
STREAMS: dict[str, queue.Queue[bytes]] = {}
"""What is to be said on each stream of HTTP+SSE."""


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


def said(asked: dict[str, Any]) -> list[bytes]:
    """Everything that is said to one request."""
    steps = range(CHUNKS) if streams(asked) else []
    return [*map(progress, steps), answer(asked)]


def is_request(asked: dict[str, Any]) -> bool:
    return "id" in asked and "method" in asked


def streams(asked: dict[str, Any]) -> bool:
    return asked["method"] == "tools/call" and asked["params"]["name"] == "stream"


class Handler(BaseHTTPRequestHandler):
    """One connection of the gateway."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        """Says nothing."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        path, _, stream = self.path.partition("?stream=")
        if path == "/message":
            return self.take(asked, stream)
        if not is_request(asked):
            return self.reply(202, b"")
        if streams(asked):
            self.begin_stream()
            for body in said(asked):
                self.event(body)
            self.wfile.write(b"0\r\n\r\n")
            return None
        headers = {"content-type": "application/json"}
        if asked["method"] == "initialize":
            headers["mcp-session-id"] = uuid.uuid4().hex
        return self.reply(200, answer(asked), headers)

    def take(self, asked: dict[str, Any], stream: str) -> None:
        """A message of HTTP+SSE, which is answered on the stream."""
        waiting = STREAMS.get(stream)
        if waiting is None:
            return self.reply(404, b"")
        self.reply(202, b"")
        if is_request(asked):
            for body in said(asked):
                waiting.put(body, timeout=10)
        return None

    def do_GET(self) -> None:
        if self.path != "/sse":
            return self.reply(405, b"")
        stream = uuid.uuid4().hex
        waiting = STREAMS[stream] = queue.Queue(WAITING_MAX)
        try:
            self.begin_stream()
            self.event(f"/message?stream={stream}".encode(), b"endpoint")
            while True:
                try:
                    self.event(waiting.get(timeout=1))
                except queue.Empty:
                    self.chunk(b": still here\n\n")
        finally:
            del STREAMS[stream]

    def do_DELETE(self) -> None:
        self.reply(200, b"")

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def event(self, body: bytes, name: bytes = b"message") -> None:
        self.chunk(b"event: " + name + b"\ndata: " + body + b"\n\n")

    def chunk(self, body: bytes) -> None:
        self.wfile.write(f"{len(body):x}\r\n".encode() + body + b"\r\n")


class Server(ThreadingHTTPServer):
    """Many connections; one that breaks is nobody's business."""

    request_queue_size = 256

    def handle_error(self, *_: Any) -> None:
        """Says nothing."""


def stdio() -> None:
    written = threading.Lock()

    def serve(asked: dict[str, Any]) -> None:
        for body in said(asked):
            with written:
                sys.stdout.buffer.write(body + b"\n")
                sys.stdout.buffer.flush()

    for line in sys.stdin.buffer:
        asked = json.loads(line)
        if is_request(asked):
            threading.Thread(target=serve, args=(asked,), daemon=True).start()


if __name__ == "__main__":
    if sys.argv[1] == "http":
        Server(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
    else:
        stdio()
