"""Scenario: messages with all that programs lose or change which read them into the types of an SDK and
write them again (members they do not know, the form of numbers, the order of keys). The gateway passes every
byte, both ways. The server is written out here by hand, since no SDK says such things.
"""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import clients
from gateway import Gateway
from stage import Stage, equal

META = (
    '"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
    '"io.modelcontextprotocol/clientCapabilities":{}}'
)

OLDER = {"MCP-Protocol-Version": "2025-11-25"}
NEWER = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "echo"}

EXCHANGES: list[tuple[dict[str, str], str, str]] = [
    # A task of 2025-11-25, members beside those that are known, an integer beyond 2^53.
    (
        OLDER,
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":'
        '{"n":9007199254740993},"task":{"ttl":60000},"vendor":[1.0]},"x-trace":"t"}',
        '{"jsonrpc":"2.0","id":1,"result":{"task":{"taskId":"t-1","status":"working",'
        '"ttl":60000,"pollInterval":5.0,"vendor":null}},"x":1e2}',
    ),
    # What tools say of tasks; keys in another order.
    (
        OLDER,
        '{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{"vendor":{}}}',
        '{"result":{"tools":[{"vendor":{"b":1,"a":2},"inputSchema":{"type":"object"},'
        '"execution":{"taskSupport":"optional"},"name":"echo"}]},"id":2,"jsonrpc":"2.0"}',
    ),
    # Members of errors.
    (
        OLDER,
        '{"jsonrpc":"2.0","id":3,"method":"resources/read","params":{"uri":"a:b","extra":{}}}',
        '{"jsonrpc":"2.0","id":3,"error":{"code":-32002,"message":"no","vendor":1.50}}',
    ),
    # Capabilities that are not known.
    (
        {},
        '{"jsonrpc":"2.0","id":4,"method":"initialize","params":{"clientInfo":{"name":"c",'
        '"version":"1","x":[]},"protocolVersion":"2025-11-25","capabilities":{"tasks":'
        '{"list":{}},"vendor/x":{"n":1.0}}}}',
        '{"jsonrpc":"2.0","id":4,"result":{"protocolVersion":"2025-11-25","capabilities":'
        '{"tasks":{"cancel":{}},"vendor/y":[1.0]},"serverInfo":{"name":"s","version":"1"}}}',
    ),
    # A form with words of JSON Schema beside those of the specification; escapes and blanks.
    (
        NEWER,
        ' {"jsonrpc":"2.0", "id":5,"method":"tools/call","params":{"name":"ech\\u006f",'
        f'"arguments":{{"f":1.0,"e":1E+2,"i":12345678901234567890}},{META}}}}}\n',
        '{"jsonrpc":"2.0","id":5,"result":{"resultType":"input_required","requestState":"s",'
        '"inputRequests":{"k":{"method":"elicitation/create","params":{"message":"\\/",'
        '"requestedSchema":{"type":"object","properties":{},"$comment":"c"}},"vendor":-0.0}}}}',
    ),
]


async def lossless_http(stage: Stage) -> None:
    """Every byte of messages passes both ways that the types of an SDK would not carry."""
    answers = {request.encode(): answer.encode() for _, request, answer in EXCHANGES}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Answers what it was told to, if this is word for word what it was to be asked."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = answers.get(body, b"")
            self.send_response(200 if answer else 500)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/mcp"
        gateway = await Gateway.started(stage, url=url)
        async with clients.http_client(gateway.token()) as http:
            for headers, request, answer in EXCHANGES:
                media = {"Content-Type": "application/json"} | clients.ACCEPT
                got = await http.post(gateway.url, content=request, headers=media | headers)
                equal((got.status_code, got.text), (200, answer), f"answer to {request}")
    finally:
        server.shutdown()
    await gateway.expect(
        """
issuer/agent tools/call echo permit task
issuer/agent tools/list permit ok
issuer/agent resources/read a:b permit protocol-error
issuer/agent initialize permit ok
issuer/agent tools/call echo permit input-required
"""
    )
