"""Runs the scenarios one after the other and says what came out. Knows none of them."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType

import compatibility
import conformance
import conformance_clients
import demo
import differential
import federation
import judge_receipts
import judge_storage
import judge_tiles
import judge_timestamps
import judge_tokens
import judge_witnesses
import lossless
import modern
import over_http
import over_stdio
import refusals
import transports
import wrapped
from stage import Failed, NotRun, Stage

Scenario = Callable[[Stage], Awaitable[None]]

MODULES = [over_http, over_stdio, modern, lossless, transports, wrapped, federation, refusals]
MODULES += [differential, demo, conformance, conformance_clients, compatibility]
MODULES += [judge_tiles, judge_witnesses, judge_receipts]
MODULES += [judge_timestamps, judge_storage, judge_tokens]

SCENARIO_SECONDS_MAX = 600.0
LOG_LINES_SHOWN = 30


def main() -> int:
    arguments = parse()
    chosen = choose(arguments.names)
    if arguments.list:
        for name, scenario in chosen.items():
            print(f"{name:32} {(scenario.__doc__ or '').splitlines()[0]}")
        return 0
    # The SDKs log what a refusal looks like from their side; here refusals are the point.
    logging.disable(logging.CRITICAL)
    # They also call what the older revision has deprecated; it is in use all the same.
    warnings.simplefilter("ignore")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    directory = Path(tempfile.mkdtemp(prefix="countersign-peers-"))
    failed = 0
    try:
        for name, scenario in chosen.items():
            failed += not run(name, scenario, directory, arguments.write_docs)
    finally:
        if arguments.keep:
            print(f"kept in {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    print(f"{len(chosen) - failed} passed, {failed} failed")
    return 1 if failed else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/peers/run", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a scenario, or how it begins")
    parser.add_argument("--list", action="store_true", help="show the names and stop")
    parser.add_argument(
        "--write-docs", action="store_true", help="write the pages that runs generate"
    )
    parser.add_argument("--keep", action="store_true", help="leave all files behind")
    return parser.parse_args()


def choose(names: list[str]) -> dict[str, Scenario]:
    """The scenarios named, in the order of the modules."""
    scenarios = {
        name.replace("_", "-"): function
        for module in MODULES
        for name, function in vars(module).items()
        if asyncio.iscoroutinefunction(function)
        and function.__module__ == module.__name__
        and not name.startswith("_")
    }
    for name in names:
        if not any(scenario.startswith(name) for scenario in scenarios):
            sys.exit(f"there is no scenario `{name}`; see tests/peers/run --list")
    return {
        name: function
        for name, function in scenarios.items()
        if not names or any(name.startswith(begin) for begin in names)
    }


def run(name: str, scenario: Scenario, directory: Path, writes_docs: bool) -> bool:
    """Plays one scenario; whether it passed."""
    binary, peers = Path(os.environ["COUNTERSIGN"]), Path(os.environ["PEERS_DIR"])
    stage = Stage(directory / name, binary, peers, writes_docs)
    begun = time.monotonic()
    problem = None
    try:
        asyncio.run(asyncio.wait_for(scenario(stage), SCENARIO_SECONDS_MAX))
    except NotRun as reason:
        print(f"not run {name:34} {reason}", flush=True)
        return True
    except Exception as error:
        problem = told(error)
    finally:
        stage.end()
    seconds = time.monotonic() - begun
    print(f"{'FAILED' if problem else 'passed'}  {name:34} {seconds:5.1f} s", flush=True)
    if problem:
        print(problem)
        for log in sorted(stage.directory.glob("*.log")):
            written = log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
            print(f"  -- last lines of {log.name}", *map(plain, written), sep="\n     ", flush=True)
    return problem is None


def told(error: BaseException) -> str:
    """What went wrong, with the place where it is not a failed expectation."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, Failed):
        return f"  {error}"
    if isinstance(error, TimeoutError) and not str(error):
        return f"  not done within {SCENARIO_SECONDS_MAX} s"
    return "".join(traceback.format_exception(error))


def plain(line: str) -> str:
    """Without the characters that colour a terminal."""
    return re.sub(r"\x1b\[[0-9;]*m", "", line)


def interrupted(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
