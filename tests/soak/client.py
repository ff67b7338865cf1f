"""A client of the soak: it opens sessions, lists, calls, reads slowly, and leaves without a word.

Knows the gateway as a Streamable HTTP server. Standard library only.
"""

from __future__ import annotations

import collections
import contextlib
import http.client
import json
import random
import socket
import threading
import time
from typing import Any

from server import TOOLS

LEGACY = "2025-11-25"
MODERN = "2026-07-28"
META = "io.modelcontextprotocol/"
SECONDS_MAX = 30.0


class Client(threading.Thread):
    """Does one thing after another until it is told to stop."""

    def __init__(self, port: int, key: str, seed: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.port, self.key, self.stop = port, key, stop
        self.random = random.Random(seed)
        self.did: collections.Counter[str] = collections.Counter()
        self.numbers = 0

    def run(self) -> None:
        while not self.stop.is_set():
            doing = self.random.choice([self.session, self.session, self.stateless])
            path = self.random.choice(["/s/web/mcp", "/s/local/mcp"])
            try:
                doing(path)
            except (OSError, http.client.HTTPException):
                # Servers are killed all the time, and the gateway cuts what they leave unfinished.
                self.did["broken off"] += 1

    def session(self, path: str) -> None:
        with self.connection() as connection:
            params = {
                "protocolVersion": LEGACY,
                "capabilities": {},
                "clientInfo": {"name": "soak", "version": "1"},
            }
            opened = self.ask(connection, path, {}, "initialize", params)
            if opened is None or opened.status != 200:
                return
            headers = {
                "mcp-session-id": opened.getheader("mcp-session-id") or "",
                "mcp-protocol-version": LEGACY,
            }
            self.ask(connection, path, headers, "notifications/initialized", None, notice=True)
            for _ in range(self.random.randrange(1, 12)):
                if self.random.random() < 0.2:
                    answer = self.ask(connection, path, headers, "tools/list", {})
                else:
                    answer = self.call(connection, path, headers, {})
                if answer is None:
                    # It left; whatever is left of its session ends by itself.
                    return
            # Some sessions are never ended by their client.
            if self.random.random() < 0.9:
                connection.request("DELETE", path, headers=self.headers(headers))
                connection.getresponse().read()

    def stateless(self, path: str) -> None:
        meta = {
            META + "protocolVersion": MODERN,
            META + "clientInfo": {"name": "soak", "version": "1"},
            META + "clientCapabilities": {},
        }
        with self.connection() as connection:
            for _ in range(self.random.randrange(1, 12)):
                headers = {"mcp-protocol-version": MODERN}
                if self.call(connection, path, headers, {"_meta": meta}) is None:
                    return

    def call(
        self, connection: http.client.HTTPConnection, path: str, headers: dict[str, str], params: Any
    ) -> http.client.HTTPResponse | None:
        tool = self.random.choice(TOOLS)
        modern = {"mcp-method": "tools/call", "mcp-name": tool} if params else {}
        params = {"name": tool, "arguments": {}, **params}
        return self.ask(connection, path, headers | modern, "tools/call", params)

    def ask(
        self,
        connection: http.client.HTTPConnection,
        path: str,
        headers: dict[str, str],
        method: str,
        params: Any,
        *,
        notice: bool = False,
    ) -> http.client.HTTPResponse | None:
        """Sends a message and reads the answer; `None` when the client left before its end."""
        self.numbers += 1
        body: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
        if not notice:
            body["id"] = self.numbers
        if params is not None:
            body["params"] = params
        connection.request("POST", path, json.dumps(body), self.headers(headers))
        self.did[method] += 1
        if self.random.random() < 0.05:
            self.did["left at once"] += 1
            return None
        response = connection.getresponse()
        self.did[f"status {response.status}"] += 1
        if self.random.random() < 0.1:
            self.did["read slowly"] += 1
            while response.read(4_096):
                time.sleep(0.005)
        elif self.random.random() < 0.05:
            response.read(1)
            self.did["left in between"] += 1
            return None
        else:
            response.read()
        return response

    def headers(self, more: dict[str, str]) -> dict[str, str]:
        return {
            "accept": "application/json, text/event-stream",
            "authorization": f"Bearer {self.key}",
            "content-type": "application/json",
            **more,
        }

    @contextlib.contextmanager
    def connection(self) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS_MAX)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            yield connection
        finally:
            connection.close()
