"""Mixed traffic for a long time while servers are killed, and what must be true at the end: memory that does
not grow; no place, session, descriptor or process left behind; a log that verifies, in which every call has
its end, and every call that was answered is there.
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
import urllib.request
import uuid
from pathlib import Path

from client import SERVERS, Client

HERE = Path(__file__).resolve().parent
BINARY = os.environ["COUNTERSIGN"]
SETTLE_SECONDS_MAX = 120.0
"""Idle sessions end after 15 seconds, and are looked for every 30."""
GROWTH_MIB_MAX = 16.0
"""Between the second quarter and the last: what allocators keep, and the segments that come and go."""
UNKNOWN_SHARE_MAX = 0.01
"""Of calls whose end is `unknown`: more, and the gateway had no places for most of the run."""
RECORDED = ["initialize", "tools/call", "tools/list"]
GAUGES = ["calls_free", "exchanges", "programs", "sessions"]

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
        self.pages_port = free_port()
        self.mark = uuid.uuid4().hex
        """In the environment of every program that the gateway starts, and of what those start."""
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
        before, idle = self.look(0.0), self.gauges()
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
        answered = sum((client.answered for client in clients), collections.Counter())
        print("did:", json.dumps(dict(sorted(did.items()))))
        print("killed:", json.dumps(dict(self.killed)))
        faults = ["a client hangs"] if any(client.is_alive() for client in clients) else []
        faults += self.memory() + self.settled(before[2], idle)
        return faults + self.stopped() + self.on_record(answered)

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
        text += f'\n[metrics]\nlisten = "127.0.0.1:{self.pages_port}"\n'
        text += f'\n[[server]]\nname = "local"\ncommand = {command}\n'
        text += f'environment = {{ SOAK = "{self.mark}" }}\n'
        text += '\n[[server]]\nname = "old"\ntransport = "sse"\n'
        text += f'url = "http://127.0.0.1:{self.server_port}/sse"\n'
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

    def gauges(self) -> dict[str, float]:
        """What the gateway says it has, all servers together."""
        page = f"http://127.0.0.1:{self.pages_port}/metrics"
        with urllib.request.urlopen(page, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        sums: dict[str, float] = dict.fromkeys(GAUGES, 0.0)
        for line in lines:
            name, _, value = line.partition(" ")
            name = name.partition("{")[0].removeprefix("countersign_")
            if name in sums:
                sums[name] += float(value)
        return sums

    def children(self) -> list[int]:
        assert self.gateway
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = path.read_text().rpartition(")")[2].split()
                if int(fields[1]) == self.gateway.pid and fields[0] != "Z":
                    found.append(int(path.parent.name))
        return found

    def marked(self) -> list[int]:
        """Every process that the gateway started, whoever its parent is by now."""
        mark, found = self.mark.encode(), []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if mark in path.read_bytes():
                    found.append(int(path.parent.name))
        return found

    def memory(self) -> list[str]:
        print("seconds, resident MiB, descriptors, processes:")
        step = max(1, len(self.series) // 30)
        for elapsed, resident, descriptors, processes in self.series[::step]:
            print(f"  {elapsed:6.0f} {resident:7.1f} {descriptors:5} {processes:4}")
        quarter = len(self.series) // 4
        if not quarter:
            return ["the run was too short to say anything of memory"]
        medians = [
            statistics.median(row[1] for row in self.series[n * quarter : (n + 1) * quarter])
            for n in range(4)
        ]
        shown = ", ".join(f"{median:.1f}" for median in medians)
        print(f"resident MiB, median of each quarter: {shown}")
        if medians[1] + GROWTH_MIB_MAX < medians[3]:
            return [f"memory grew from {medians[1]:.1f} to {medians[3]:.1f} MiB"]
        return []

    def settled(self, descriptors_before: int, idle: dict[str, float]) -> list[str]:
        """What is left when nobody calls any more: nothing, as soon as idle sessions have ended."""
        assert self.gateway
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        while True:
            if self.gateway.poll() is not None:
                return ["the gateway has ended by itself"]
            faults = []
            _, _, descriptors, _ = self.look(0)
            gauges, processes = self.gauges(), self.marked()
            if descriptors_before + 8 < descriptors:
                faults.append(f"{descriptors} descriptors are open, {descriptors_before} were before")
            if gauges != idle:
                faults.append(f"the gateway is not idle again: {gauges}, before: {idle}")
            if processes:
                faults.append(f"{len(processes)} programs of the gateway run without a session")
            if not faults or deadline < time.monotonic():
                break
            time.sleep(1)
        waited = SETTLE_SECONDS_MAX - (deadline - time.monotonic())
        print(f"idle again after {waited:.0f} s: {gauges}, {descriptors} descriptors")
        return faults

    def stopped(self) -> list[str]:
        """Stops the gateway, and reads what it said and what it leaves behind."""
        assert self.gateway
        faults = []
        self.gateway.terminate()
        try:
            self.gateway.wait(60)
        except subprocess.TimeoutExpired:
            return ["the gateway does not stop"]
        if self.gateway.returncode != 0:
            faults.append(f"the gateway ended with {self.gateway.returncode}")
        if orphans := self.marked():
            faults.append(f"{len(orphans)} programs of the gateway outlive it: {orphans}")
        said = (self.directory / "stderr").read_text().splitlines()
        print(f"{len(said)} lines of errors", *said[:5], sep="\n  ")
        if any("panicked" in line for line in said):
            faults.append("something panicked: see the lines above")
        return faults

    def on_record(self, answered: collections.Counter[str]) -> list[str]:
        """The log verifies; every call has its end there, and every call that was answered is there."""
        faults = []
        log, key = self.directory / "log", self.directory / "keys" / "log.key.pub"
        verify = [BINARY, "verify", str(log), "--key", str(key)]
        verified = subprocess.run(verify, capture_output=True, text=True)
        print(verified.stdout)
        if verified.returncode != 0:
            faults.append(f"verify ended with {verified.returncode}: {verified.stderr}")
        search = [BINARY, "search", str(log), "--json"]
        with subprocess.Popen(search, stdout=subprocess.PIPE, text=True) as found:
            assert found.stdout
            counts: collections.Counter[tuple[str, str]] = collections.Counter()
            methods: collections.Counter[str] = collections.Counter()
            for line in found.stdout:
                call = json.loads(line)
                resource = call.get("resource") or {}
                counts[str(resource.get("server", "-")), outcome_of(call)] += 1
                methods[str(resource.get("method", "-"))] += 1
        if found.returncode != 0:
            faults.append(f"search ended with {found.returncode}")
        print_table(counts)
        outcomes: collections.Counter[str] = collections.Counter()
        for (_, outcome), number in counts.items():
            outcomes[outcome] += number
        for outcome in ("open", "in-doubt"):
            if outcomes[outcome]:
                faults.append(f"{outcomes[outcome]} calls have no end on record ({outcome})")
        for method in RECORDED:
            if methods[method] < answered[method]:
                faults.append(
                    f"{answered[method]} of {method} were answered and {methods[method]} are on record"
                )
        total = outcomes.total()
        if outcomes["unknown"] > UNKNOWN_SHARE_MAX * total:
            faults.append(
                f"{outcomes['unknown']} of {total} calls ended as `unknown`: all places for programs "
                "or sessions were taken for long"
            )
        if not all(counts[server, "ok"] for server in SERVERS):
            faults.append("a server has no call that ended well: nothing was tried")
        return faults

    def end(self) -> None:
        for process in (self.gateway, self.server):
            if process and process.poll() is None:
                process.kill()
                process.wait()


def outcome_of(call: dict[str, object]) -> str:
    outcome = call.get("outcome")
    if isinstance(outcome, dict):
        return str(outcome.get("status"))
    if call.get("end_kind") == "call.in-doubt":
        return "in-doubt"
    refusal = call.get("refusal")
    return f"refused: {refusal.get('reason')}" if isinstance(refusal, dict) else "open"


def print_table(counts: collections.Counter[tuple[str, str]]) -> None:
    """Outcomes by server."""
    servers = sorted({server for server, _ in counts})
    outcomes = sorted({outcome for _, outcome in counts})
    width = max(map(len, ["calls on record", *outcomes]))
    print("".join([f"{'calls on record':{width}}", *(f"{name:>10}" for name in servers)]))
    for outcome in outcomes:
        cells = (f"{counts[server, outcome]:10}" for server in servers)
        print("".join([f"{outcome:{width}}", *cells]))


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
