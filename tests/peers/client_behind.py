"""The client of `lone_client.py` behind a gateway, for the conformance suite to start:

    python client_behind.py COUNTERSIGN FOLDER URL

Makes a gateway in front of the server at the URL, in a folder that is not there yet, and has the client
use it. Serves on the port that `init` writes, so it needs a network of its own.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

LISTEN = ("127.0.0.1", 8700)
READY_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 15.0

ANYBODY = """
@id("anybody-does-anything")
permit (
  principal,
  action,
  resource
);
"""


def main(binary: str, folder: Path, url: str) -> int:
    """The status of the client, or of the gateway when that did not end well."""
    init = [binary, "init", str(folder), "--name", "gateway-1", "--server", "peer", "--url", url]
    subprocess.run(init, check=True, stdout=subprocess.DEVNULL)
    config = folder / "countersign.toml"
    open_to_all = config.read_text().replace("[identity]\n", "[identity]\nallow_anonymous = true\n")
    config.write_text(open_to_all)
    with (folder / "policy" / "main.cedar").open("a") as policy:
        policy.write(ANYBODY)
    with (folder / "gateway.log").open("w") as log:
        serve = [binary, "serve", "--config", str(config)]
        gateway = subprocess.Popen(serve, stdout=log, stderr=log)
    try:
        _await_listening(gateway)
        client = [sys.executable, str(Path(__file__).with_name("lone_client.py"))]
        status = subprocess.run([*client, f"http://{LISTEN[0]}:{LISTEN[1]}/mcp"]).returncode
    finally:
        gateway.terminate()
        ended = gateway.wait(STOP_SECONDS_MAX)
    return status or ended


def _await_listening(gateway: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while gateway.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(LISTEN).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError("the gateway does not listen")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
