"""Starts ContextForge in front of one MCP server, for the benchmark beside it; `rivals` installs it.

    contextforge.py HOME new                                 makes secrets and a database, prints a bearer token
    contextforge.py HOME UPSTREAM PORT [SETTING=VALUE ...]   ends as `mcpgateway` itself, on PORT

What it needs to know is in its database, so it is started twice: once on a port that nobody knows, where
it is told of the upstream server and must answer a call through it, then on PORT. Whoever can connect to
PORT can therefore call. It works on a copy of the database, in a new folder below the one it is started in.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from dotenv import dotenv_values

ADMIN = "admin@example.com"
SERVER = "6f0c3a4e9b1d4c2f8a7e5d3b2c1f0e9d"
TOOL = "bench-query"
START_MAX = 240
# Not at its defaults, or nothing could be measured: the upstream server is on this machine, its
# administrator has not changed the password that was generated, and more than 100 calls a minute are made.
SETTINGS = {
    "SSRF_ALLOW_LOCALHOST": "true",
    "PASSWORD_CHANGE_ENFORCEMENT_ENABLED": "false",
    "RATE_LIMITING_ENABLED": "false",
}


def main():
    home, *words = sys.argv[1:]
    secrets, database = os.path.join(home, "secrets"), os.path.join(home, "mcp.db")
    if words == ["new"]:
        os.makedirs(home, exist_ok=True)
        os.chdir(home)
        run(beside("init-secrets"), "--force", "--output", secrets)
        environment = os.environ | dotenv_values(secrets) | SETTINGS
        run(sys.executable, "-m", "mcpgateway.bootstrap_db", env=environment)
        print(token(environment))
        return
    upstream, port, *settings = words
    environment = os.environ | dotenv_values(secrets) | SETTINGS
    environment |= dict(setting.split("=", 1) for setting in settings)
    # Its default database is the `mcp.db` of the folder that it is started in.
    os.chdir(tempfile.mkdtemp(prefix="contextforge-", dir="."))
    shutil.copy(database, "mcp.db")
    prepare(environment, upstream)
    program = beside("mcpgateway")
    os.execve(program, [program, "--port", port], environment)


def prepare(environment, upstream):
    """Has it learn of the server and its tool, and proves that they can be called."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    gateway = subprocess.Popen([beside("mcpgateway"), "--port", port], env=environment)
    try:
        place = Place(f"http://127.0.0.1:{port}", token(environment))
        place.wait(gateway)
        place.post("/v1/gateways", {"name": "bench", "url": upstream, "transport": "STREAMABLEHTTP"})
        tools = [tool["id"] for tool in place.get("/v1/tools") if tool["name"] == TOOL]
        place.post("/v1/servers", {"server": {"id": SERVER, "name": "bench", "associated_tools": tools}})
        call = {"name": TOOL, "arguments": {"sql": "SELECT 1"}}
        answer = place.post(
            f"/servers/{SERVER}/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
        )
        if "3 rows" not in json.dumps(answer):
            sys.exit(f"not the answer: {answer}")
    finally:
        gateway.terminate()
        gateway.wait()


class Place:
    """Its HTTP interface, as its administrator."""

    def __init__(self, url, bearer):
        self.url = url
        self.headers = {
            "Authorization": f"Bearer {bearer}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }

    def wait(self, gateway):
        end = time.monotonic() + START_MAX
        while True:
            try:
                return self.get("/health")
            except OSError:
                if gateway.poll() is not None or time.monotonic() > end:
                    sys.exit("ContextForge does not start")
                time.sleep(0.2)

    def get(self, path):
        return self.ask(urllib.request.Request(self.url + path, headers=self.headers))

    def post(self, path, body):
        body = json.dumps(body).encode()
        return self.ask(urllib.request.Request(self.url + path, data=body, headers=self.headers))

    @staticmethod
    def ask(request):
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refusal:
            sys.exit(f"{request.full_url}: {refusal}: {refusal.read().decode()}")


def token(environment):
    """As its documentation has it made, for four weeks."""
    words = ["-m", "mcpgateway.utils.create_jwt_token", "--username", ADMIN, "--exp", "40320"]
    made = subprocess.run([sys.executable, *words], env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return made.stdout.strip()


def run(*command, **options):
    """Standard output is for what this program prints itself."""
    subprocess.run(command, check=True, stdout=sys.stderr, **options)


def beside(name):
    return os.path.join(os.path.dirname(sys.executable), name)


main()
