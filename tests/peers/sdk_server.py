"""A small server on the official Python SDK. Runs by itself:

    python sdk_server.py streamable-http|sse PORT [CERTIFICATE KEY ROOTS]

Serves on 127.0.0.1 at /mcp or /sse; with a certificate over TLS, and only clients that have one of ROOTS
themselves. Knows no gateway.
"""

from __future__ import annotations

import ssl
import sys
import warnings
from typing import Any

import uvicorn
from mcp.server.mcpserver import MCPServer

server = MCPServer("python-sdk")


@server.tool()
def double(number: int) -> str:
    """Twice as much."""
    return f"twice {number} is {2 * number}"


def main(transport: str, port: str, *files: str) -> None:
    """Serves until it is stopped."""
    app = server.sse_app() if transport == "sse" else server.streamable_http_app()
    secure: dict[str, Any] = {}
    if files:
        certificate, key, roots = files
        secure = {"ssl_certfile": certificate, "ssl_keyfile": key, "ssl_ca_certs": roots}
        secure["ssl_cert_reqs"] = ssl.CERT_REQUIRED
    uvicorn.run(app, host="127.0.0.1", port=int(port), **secure)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(*sys.argv[1:])
