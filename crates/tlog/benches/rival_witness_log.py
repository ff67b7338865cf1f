"""How long a writer waits until its entry is durable in `witness-log`: the same closed loop and the
same table as `acknowledge`, with threads for tasks. Run by `rivals`.

Knows nothing of our log. What can be compared and what cannot is printed with the figures.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import witness_log

WRITERS = [1, 16, 64, 256]
ENTRY = b"\x07" * 1024
WARM_UP_S = 0.2

# As in `acknowledge`.
BATCH_ENTRIES = 1024


@dataclass
class Round:
    """What one round measured; the latencies are sorted."""

    seconds: float
    latencies_ns: list[int]
    commits: int
    cpu_s: float


class Group:
    """One committer appends what has gathered, in order and up to a bound, and syncs once."""

    def __init__(self, log: witness_log.JournaledLog, batch_entries: int) -> None:
        self.log = log
        self.batch_entries = batch_entries
        self.waiting: list[tuple[bytes, threading.Event]] = []
        self.arrived = threading.Condition()
        self.commits = 0
        self.ended = False
        self.failed: BaseException | None = None
        self.committer = threading.Thread(target=self.run)
        self.committer.start()

    def append(self, entry: bytes) -> None:
        durable = threading.Event()
        with self.arrived:
            self.waiting.append((entry, durable))
            self.arrived.notify()
        durable.wait()
        if self.failed:
            raise self.failed

    def run(self) -> None:
        while True:
            with self.arrived:
                self.arrived.wait_for(lambda: self.waiting or self.ended)
                batch = self.waiting[:self.batch_entries]
                del self.waiting[:self.batch_entries]
            if not batch:
                return
            try:
                for entry, _ in batch:
                    self.log.append_memory(entry)
                self.log.sync()
            except BaseException as error:  # the writers raise it
                self.failed = error
            self.commits += 1
            for _, durable in batch:
                durable.set()

    def end(self) -> None:
        with self.arrived:
            self.ended = True
            self.arrived.notify()
        self.committer.join()


@dataclass
class Target:
    name: str
    batch_entries: int
    # Without it the journal has a salted hash of each entry, not the entry.
    keeps_entries: bool


TARGETS = [
    Target("witness-log, sync per entry", 1, True),
    Target("witness-log, sync per batch", BATCH_ENTRIES, True),
    Target("witness-log, sync per batch, hashes only", BATCH_ENTRIES, False),
]


def main() -> None:
    arguments = parse()
    scratch = Path(tempfile.mkdtemp(prefix="witness-log-", dir=arguments.directory))
    try:
        describe(scratch, arguments)
        rows = []
        for writers in [arguments.writers] if arguments.writers else WRITERS:
            cells: list[list[Round]] = [[] for _ in TARGETS]
            for turn in range(arguments.rounds):
                for i in range(len(TARGETS)):
                    at = (turn + i) % len(TARGETS)
                    cells[at].append(one_round(TARGETS[at], writers, scratch, arguments))
            rows += [(t, writers, cell) for t, cell in zip(TARGETS, cells, strict=True)]
        print(f"- load average after: {load_average()}\n")
        print_table(rows)
    finally:
        shutil.rmtree(scratch)


def one_round(
    target: Target, writers: int, scratch: Path, arguments: argparse.Namespace
) -> Round:
    directory = scratch / "round"
    directory.mkdir()
    os.sync()
    log = witness_log.JournaledLog.create(str(directory / "log.jsonl"), os.urandom(32))
    if target.keeps_entries:
        log.enable_payload_store()
    store = Group(log, target.batch_entries)
    try:
        before = load(store, writers, WARM_UP_S)
        measured = load(store, writers, arguments.round_ms / 1000)
    finally:
        store.end()
    counted = len(before.latencies_ns) + len(measured.latencies_ns)
    if log.tree_size() != counted:
        sys.exit(f"{counted} entries were acknowledged, {log.tree_size()} are there")
    log.close()
    shutil.rmtree(directory)
    return measured


def load(store: Group, writers: int, seconds: float) -> Round:
    """So many threads that each wait for one entry after another."""
    latencies_ns: list[list[int]] = [[] for _ in range(writers)]
    failed: list[BaseException] = []
    commits, cpu, started = store.commits, time.process_time(), time.perf_counter_ns()
    end = started + int(seconds * 1e9)

    def write(mine: list[int]) -> None:
        try:
            while (sent := time.perf_counter_ns()) < end:
                store.append(ENTRY)
                mine.append(time.perf_counter_ns() - sent)
        except BaseException as error:  # raised below, where it is seen
            failed.append(error)

    threads = [threading.Thread(target=write, args=(mine,)) for mine in latencies_ns]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return Round(
        seconds=(time.perf_counter_ns() - started) / 1e9,
        latencies_ns=sorted(ns for mine in latencies_ns for ns in mine),
        commits=store.commits - commits,
        cpu_s=time.process_time() - cpu,
    )


def describe(scratch: Path, arguments: argparse.Namespace) -> None:
    model = next(
        (line.partition(":")[2].strip() for line in open("/proc/cpuinfo") if "model name" in line),
        "unknown",
    )
    policy = os.sched_getscheduler(0)
    policies = {os.SCHED_OTHER: "ordinary", os.SCHED_FIFO: "SCHED_FIFO"}
    print(f"- machine: {model}, {os.cpu_count()} cores")
    print(f"- kernel: {os.uname().release}")
    print(f"- file system: {file_system(scratch)}")
    print(f"- scheduling: {policies.get(policy, f'policy {policy}')}")
    print(f"- load average before: {load_average()}")
    print(
        f"- settings: witness-log {metadata.version('witness-log')}, Python {sys.version.split()[0]}; "
        f"{arguments.rounds} rounds of {arguments.round_ms} ms per cell, in turns, each on new files; "
        f"medians over rounds; entries of {len(ENTRY)} bytes; writers are threads of one process"
    )
    print(
        "- comparable: durable appends of entries of one length to a Merkle log on one disk, as its "
        "package for Python gives them\n"
        "- not comparable: its core is Rust, but threads take turns under the interpreter's lock, which "
        "costs more with every writer; it syncs two files, or three when entries are kept; it signs a "
        "root only when asked for a checkpoint, where ours signs every batch; its leaves are salted"
    )


def print_table(rows: list[tuple[Target, int, list[Round]]]) -> None:
    print(
        "| target | writers | entries/s | p50 µs | p99 µs | p99.9 µs | entries/commit | CPU µs/entry |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    )
    for target, writers, rounds in rows:

        def median(of: Callable[[Round], float]) -> float:
            return statistics.median_high([of(one) for one in rounds])

        def quantile_us(permille: int) -> float:
            return median(lambda r: r.latencies_ns[len(r.latencies_ns) * permille // 1000] / 1e3)

        print(
            f"| {target.name} | {writers} | {median(lambda r: len(r.latencies_ns) / r.seconds):.0f} "
            f"| {quantile_us(500):.0f} | {quantile_us(990):.0f} | {quantile_us(999):.0f} "
            f"| {median(lambda r: len(r.latencies_ns) / r.commits):.1f} "
            f"| {median(lambda r: r.cpu_s * 1e6 / len(r.latencies_ns)):.1f} |"
        )


def file_system(path: Path) -> str:
    """The type and device of what `path` is on, from proc(5)'s `mountinfo`."""
    found = ("", "unknown")
    for line in open("/proc/self/mountinfo"):
        mount, _, rest = line.partition(" - ")
        at = mount.split(" ")[4]
        if path.resolve().is_relative_to(at) and len(at) > len(found[0]):
            found = (at, " on ".join(rest.split(" ")[:2]))
    return found[1]


def load_average() -> str:
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("directory", type=Path, help="where to write, on the disk to measure")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--round-ms", type=int, default=1000)
    parser.add_argument("--writers", type=int, help="instead of 1, 16, 64 and 256")
    return parser.parse_args()


if __name__ == "__main__":
    main()
