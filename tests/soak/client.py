"""A client of the soak: it speaks every transport and era, calls, reads slowly, and leaves without a word.

Knows the gateway as a server of Streamable HTTP and of HTTP+SSE. Standard library only.
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
from collections.abc import Iterator
from typing import Any

from server import TOOLS

BATCHES = "2025-03-26"
LEGACY = "2025-11-25"
MODERN = "2026-07-28"
META = "io.modelcontextprotocol/"
SECONDS_MAX = 30.0
SERVERS = ["local", "old", "web"]
STATELESS = ["local", "web"]
"""A server of HTTP+SSE knows sessions only."""
SLOW_BUFFER_BYTES = 4_096

Answer = http.client.HTTPResponse | None
"""`None` when the client left before the end of it."""


class Client(threading.Thread):
    """Does one thing after another until it is told to stop."""

    def __init__(self, port: int, key: str, seed: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.port, self.key, self.stop = port, key, stop
        self.random = random.Random(seed)
        self.did: collections.Counter[str] = collections.Counter()
        self.answered: collections.Counter[str] = collections.Counter()
        """Messages that were answered with success, by method: all of them must be on record."""
        self.numbers = 0

    def run(self) -> None:
        ways = [self.session, self.session, self.stateless, self.batches, self.event_stream]
        while not self.stop.is_set():
            try:
                self.random.choice(ways)()
            except (OSError, http.client.HTTPException):
                # Servers are killed all the time, and the gateway cuts what they leave unfinished.
                self.did["broken off"] += 1

    def endpoint(self, servers: list[str]) -> tuple[str, str]:
        """The path of one server, or of all together, and what stands before its tools there."""
        server = self.random.choice(servers)
        if self.random.random() < 0.25:
            return "/mcp", f"{server}__"
        return f"/s/{server}/mcp", ""

    def session(self) -> None:
        path, prefix = self.endpoint(SERVERS)
        with self.opened(path, LEGACY) as (connection, headers):
            for _ in range(self.random.randrange(1, 12)):
                if self.random.random() < 0.2:
                    answer = self.ask(connection, path, headers, "tools/list", {})
                elif self.random.random() < 0.05:
                    answer = self.cancelled(connection, path, headers, prefix)
                else:
                    answer = self.call(connection, path, headers, prefix)
                if answer is None:
                    return

    def batches(self) -> None:
        path = f"/s/{self.random.choice(SERVERS)}/mcp"
        with self.opened(path, BATCHES) as (connection, headers):
            for _ in range(self.random.randrange(1, 4)):
                params = [
                    {"name": self.random.choice(TOOLS), "arguments": {}}
                    for _ in range(self.random.randrange(1, 4))
                ]
                batch = [self.message("tools/call", each) for each in params]
                if self.send(connection, path, headers, batch, "tools/call", len(batch)) is None:
                    return

    def stateless(self) -> None:
        path, prefix = self.endpoint(STATELESS)
        meta = {
            META + "protocolVersion": MODERN,
            META + "clientInfo": {"name": "soak", "version": "1"},
            META + "clientCapabilities": {},
        }
        with self.connection() as connection:
            for _ in range(self.random.randrange(1, 12)):
                headers = {"mcp-protocol-version": MODERN}
                if self.call(connection, path, headers, prefix, _meta=meta) is None:
                    return

    def event_stream(self) -> None:
        """A client of HTTP+SSE: its stream is its session."""
        path = f"/s/{self.random.choice(SERVERS)}/sse"
        with self.connection() as listening, self.connection() as sending:
            listening.request("GET", path, headers=self.headers({"accept": "text/event-stream"}))
            stream = listening.getresponse()
            self.did[f"stream {stream.status}"] += 1
            if stream.status != 200:
                stream.read()
                return
            events = self.events(stream)
            endpoint = next(events, "")
            params: dict[str, Any] = self.introduction("2024-11-05")
            for number in range(self.random.randrange(2, 10)):
                method = "tools/call" if number else "initialize"
                body = self.message(method, params)
                sending.request("POST", endpoint, json.dumps(body), self.headers({}))
                self.did[method] += 1
                taken = sending.getresponse()
                taken.read()
                self.did[f"status {taken.status}"] += 1
                if taken.status != 202 or self.random.random() < 0.05:
                    return
                if not self.heard(events, body["id"], method):
                    return
                params = {"name": self.random.choice(TOOLS), "arguments": {}}

    def heard(self, events: Iterator[str], number: int, method: str) -> bool:
        """Reads until the answer; the server may go before it comes."""
        for event in events:
            message = json.loads(event)
            if message.get("id") == number and "method" not in message:
                self.answered[method] += "result" in message
                return True
        return False

    @staticmethod
    def events(stream: http.client.HTTPResponse) -> Iterator[str]:
        while line := stream.readline():
            if line.startswith(b"data:"):
                yield line[5:].decode().strip()

    @contextlib.contextmanager
    def opened(
        self, path: str, revision: str
    ) -> Iterator[tuple[http.client.HTTPConnection, dict[str, str]]]:
        """A session, which most clients end, also those that left in the middle of an answer."""
        with self.connection() as connection:
            opened = self.ask(connection, path, {}, "initialize", self.introduction(revision))
            if opened is None or opened.status != 200:
                raise http.client.HTTPException("no session")
            headers = {
                "mcp-session-id": opened.getheader("mcp-session-id") or "",
                "mcp-protocol-version": revision,
            }
            body = {"jsonrpc": "2.0", "method": "notifications/initialized"}
            self.send(connection, path, headers, body, "notifications/initialized", 1)
            yield connection, headers
        if self.random.random() < 0.9:
            with self.connection() as connection:
                connection.request("DELETE", path, headers=self.headers(headers))
                connection.getresponse().read()
                self.did["sessions ended"] += 1
        else:
            self.did["sessions left"] += 1

    def cancelled(
        self, connection: http.client.HTTPConnection, path: str, headers: dict[str, str], prefix: str
    ) -> Answer:
        """A slow call that is taken back on another connection."""
        body = self.message("tools/call", {"name": prefix + "slow", "arguments": {}})
        connection.request("POST", path, json.dumps(body), self.headers(headers))
        self.did["tools/call"] += 1
        note = {"requestId": body["id"], "reason": "soak"}
        taken = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": note}
        with self.connection() as other:
            self.send(other, path, headers, taken, "notifications/cancelled", 1)
        response = connection.getresponse()
        self.did[f"status {response.status}"] += 1
        response.read()
        return response

    def call(
        self,
        connection: http.client.HTTPConnection,
        path: str,
        headers: dict[str, str],
        prefix: str,
        **more: Any,
    ) -> Answer:
        tool = prefix + self.random.choice(TOOLS)
        modern = {"mcp-method": "tools/call", "mcp-name": tool} if more else {}
        params = {"name": tool, "arguments": {}, **more}
        return self.ask(connection, path, headers | modern, "tools/call", params)

    def ask(
        self,
        connection: http.client.HTTPConnection,
        path: str,
        headers: dict[str, str],
        method: str,
        params: Any,
    ) -> Answer:
        return self.send(connection, path, headers, self.message(method, params), method, 1)

    def message(self, method: str, params: Any) -> dict[str, Any]:
        self.numbers += 1
        return {"jsonrpc": "2.0", "id": self.numbers, "method": method, "params": params}

    @staticmethod
    def introduction(revision: str) -> dict[str, Any]:
        return {
            "protocolVersion": revision,
            "capabilities": {},
            "clientInfo": {"name": "soak", "version": "1"},
        }

    def send(
        self,
        connection: http.client.HTTPConnection,
        path: str,
        headers: dict[str, str],
        body: Any,
        method: str,
        messages: int,
    ) -> Answer:
        """Sends so many messages of one method and reads the answer, quickly, slowly, or not at all."""
        connection.request("POST", path, json.dumps(body), self.headers(headers))
        self.did[method] += messages
        if messages > 1:
            self.did["batches"] += 1
        if self.random.random() < 0.05:
            self.did["left at once"] += 1
            return None
        response = connection.getresponse()
        self.did[f"status {response.status}"] += 1
        if response.status in (200, 202):
            self.answered[method] += messages
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
    def connection(self) -> Iterator[http.client.HTTPConnection]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS_MAX)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.random.random() < 0.1:
            # What the gateway sends stays with it until somebody reads.
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER_BYTES)
        try:
            yield connection
        finally:
            connection.close()
