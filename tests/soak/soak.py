"""Mixed traffic for a long time while servers are killed, and what must be true at the end: memory that does
not grow, no descriptor and no process left behind, and every call that was asked has its end on record.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from client import Client

HERE = Path(__file__).resolve().parent
BINARY = os.environ["COUNTERSIGN"]
SETTLE_SECONDS_MAX = 90.0
GROWTH_MIB_MAX = 16.0
"""Between the second quarter and the last: what allocators keep, and the segments that come and go."""

POLICY = """
@id("soak")
permit (principal in Provider::"dev", action, resource);
@id("soak-questions")
permit (principal is Server, action, resource);
"""


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=1_800)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ["SOAK_DIR"]) as scratch:
        soak = Soak(Path(scratch), arguments)
        try:
            faults = soak.run()
        finally:
            soak.end()
    for fault in faults:
        print(f"FAULT: {fault}")
    print("soak failed" if faults else "soak passed")
    return 1 if faults else 0


class Soak:
    """One run."""

    def __init__(self, directory: Path, arguments: argparse.Namespace) -> None:
        self.directory, self.arguments = directory / "gw", arguments
        self.random = random.Random(arguments.seed)
        self.port, self.server_port = free_port(), free_port()
        self.server: subprocess.Popen[bytes] | None = None
        self.gateway: subprocess.Popen[bytes] | None = None
        self.series: list[tuple[float, float, int, int]] = []
        self.seen: set[int] = set()
        self.killed: collections.Counter[str] = collections.Counter()

    def run(self) -> list[str]:
        self.make()
        self.start_server()
        self.gateway = subprocess.Popen(
            [BINARY, "serve", "--config", str(self.directory / "countersign.toml")],
            stdin=subprocess.DEVNULL,
            stderr=(self.directory / "stderr").open("wb"),
            env=os.environ | {"COUNTERSIGN_LOG": "error"},
        )
        wait_for(self.port)
        before = self.look(0.0)
        stop = threading.Event()
        clients = [
            Client(self.port, self.key, self.arguments.seed * 1_000 + n, stop)
            for n in range(self.arguments.clients)
        ]
        for client in clients:
            client.start()
        self.trouble(time.monotonic())
        stop.set()
        for client in clients:
            client.join(60)
        did = sum((client.did for client in clients), collections.Counter())
        print("did:", json.dumps(dict(sorted(did.items()))))
        print("killed:", json.dumps(dict(self.killed)))
        faults = ["a client hangs"] if any(client.is_alive() for client in clients) else []
        faults += self.settled(before[2])
        return faults + self.judged(did)

    def make(self) -> None:
        made = subprocess.run(
            [BINARY, "init", str(self.directory), "--server", "web", "--url", "http://127.0.0.1:1/mcp"],
            check=True,
            capture_output=True,
            text=True,
        )
        self.key = next(word for word in made.stdout.split() if word.startswith("cs_dev_"))
        config = self.directory / "countersign.toml"
        text = config.read_text().replace("127.0.0.1:8700", f"127.0.0.1:{self.port}")
        text = text.replace("[server]", "[[server]]")
        text = text.replace("http://127.0.0.1:1/mcp", f"http://127.0.0.1:{self.server_port}/mcp")
        command = json.dumps([sys.executable, str(HERE / "server.py"), "stdio"])
        # Sessions that no client ends must not fill the places of those to come.
        text += "\n[limits]\nsession_idle_s = 15\n"
        text += f'\n[[server]]\nname = "local"\ncommand = {command}\n'
        config.write_text(text)
        (self.directory / "policy" / "soak.cedar").write_text(POLICY)

    def start_server(self) -> None:
        arguments = [sys.executable, str(HERE / "server.py"), "http", str(self.server_port)]
        self.server = subprocess.Popen(arguments, stdin=subprocess.DEVNULL)
        wait_for(self.server_port)

    def trouble(self, started: float) -> None:
        """Kills servers now and then, and looks at the gateway all the time."""
        next_look = 0.0
        while (elapsed := time.monotonic() - started) < self.arguments.seconds:
            if next_look <= elapsed:
                self.series.append(self.look(elapsed))
                next_look += max(2.0, self.arguments.seconds / 120)
            if self.random.random() < 0.05 and self.server:
                self.server.kill()
                self.server.wait()
                self.killed["web"] += 1
                time.sleep(self.random.random())
                self.start_server()
            children = self.children()
            if children and self.random.random() < 0.1:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.random.choice(children), signal.SIGKILL)
                    self.killed["local"] += 1
            time.sleep(0.5)

    def look(self, elapsed: float) -> tuple[float, float, int, int]:
        """Seconds, resident MiB, descriptors, processes."""
        assert self.gateway
        status = Path(f"/proc/{self.gateway.pid}/status").read_text()
        kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        descriptors = len(os.listdir(f"/proc/{self.gateway.pid}/fd"))
        return elapsed, kib / 1_024, descriptors, len(self.children())

    def children(self) -> list[int]:
        assert self.gateway
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = path.read_text().rpartition(")")[2].split()
                if int(fields[1]) == self.gateway.pid and fields[0] != "Z":
                    found.append(int(path.parent.name))
        self.seen.update(found)
        return found

    def settled(self, descriptors_before: int) -> list[str]:
        """Memory over time, and what is left when nobody calls any more."""
        print("seconds, resident MiB, descriptors, processes:")
        step = max(1, len(self.series) // 30)
        for elapsed, resident, descriptors, processes in self.series[::step]:
            print(f"  {elapsed:6.0f} {resident:7.1f} {descriptors:5} {processes:4}")
        faults = []
        quarter = len(self.series) // 4
        if quarter:
            early = statistics.median(row[1] for row in self.series[quarter : 2 * quarter])
            late = statistics.median(row[1] for row in self.series[-quarter:])
            print(f"resident: {early:.1f} MiB in the second quarter, {late:.1f} MiB in the last")
            if early + GROWTH_MIB_MAX < late:
                faults.append(f"memory grew from {early:.1f} to {late:.1f} MiB")
        # Connections that nobody uses are kept for a while, and so are programs of sessions that no
        # client has ended: each has a few descriptors.
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        while True:
            _, _, descriptors, processes = self.look(0)
            allowed = descriptors_before + 8 + 4 * processes
            if descriptors <= allowed:
                break
            if deadline < time.monotonic():
                faults.append(f"{descriptors} descriptors are open, {allowed} at most were expected")
                break
            time.sleep(1)
        print(f"descriptors: {descriptors_before} before, {descriptors} after, {processes} programs")
        return faults

    def judged(self, did: collections.Counter[str]) -> list[str]:
        """Stops the gateway, then reads what it wrote."""
        assert self.gateway
        faults = []
        self.gateway.terminate()
        if self.gateway.wait(60) != 0:
            faults.append(f"the gateway ended with {self.gateway.returncode}")
        orphans = [pid for pid in self.seen if "server.py" in command_line(pid)]
        if orphans:
            faults.append(f"{len(orphans)} programs of the gateway outlive it")
        log = self.directory / "log"
        key = self.directory / "keys" / "log.key.pub"
        verify = [BINARY, "verify", str(log), "--key", str(key)]
        verified = subprocess.run(verify, capture_output=True, text=True)
        print(verified.stdout)
        if verified.returncode != 0:
            faults.append(f"verify ended with {verified.returncode}: {verified.stderr}")
        search = subprocess.run([BINARY, "search", str(log), "--json"], capture_output=True, text=True)
        calls = [json.loads(line) for line in search.stdout.splitlines()]
        states = collections.Counter(state(call) for call in calls)
        print("calls on record:", json.dumps(dict(sorted(states.items()))))
        if states["open"]:
            faults.append(f"{states['open']} calls have no end on record")
        asked = sum(did[name] for name in ("initialize", "tools/call", "tools/list"))
        if len(calls) < asked * 9 // 10:
            faults.append(f"{asked} requests were sent and {len(calls)} are on record")
        return faults

    def end(self) -> None:
        for process in (self.gateway, self.server):
            if process and process.poll() is None:
                process.kill()
                process.wait()


def state(call: dict[str, object]) -> str:
    outcome = call.get("outcome")
    if isinstance(outcome, dict):
        return str(outcome.get("status"))
    return str(outcome or ("refused" if call.get("refusal") else "open"))


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if deadline < time.monotonic():
                raise
            time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
