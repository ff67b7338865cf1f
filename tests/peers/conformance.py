"""Scenarios: the official conformance suite against servers, each directly and through the gateway. What
the suite sees must be the same: check by check, passed or not.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

import everything
import fixture
from gateway import Gateway, verify
from page import publish, table
from stage import Stage, check, equal

RUNS = {
    "2025-03-26": ["--suite", "all", "--spec-version", "2025-03-26"],
    "2025-06-18": ["--suite", "all", "--spec-version", "2025-06-18"],
    "2025-11-25": ["--requirements", "2025-11-25"],
    "2026-07-28": ["--requirements", "2026-07-28"],
    "all": ["--suite", "all"],
}
"""The sets of requirements as they were frozen with their revisions, where they were; what the suite has for
the revisions before; and everything there is now. It has nothing for 2024-11-05.
"""

CHECKS = {"2025-03-26": 3, "2025-06-18": 56, "2025-11-25": 84, "2026-07-28": 197, "all": 276}
"""Checks that pass with the fixture; fewer would mean that the suite did not get far."""

REBINDING = ("dns-rebinding-protection", "localhost-host-rebinding-rejected")

ENDED_SESSION = ("server-session-lifecycle", "server-session-terminated-returns-404")
"""`server-everything` says 400 of a session that was ended. To clients the gateway is the server, which
"MUST respond to requests containing that session ID with HTTP 404 Not Found" (basic/transports, session
management, of every revision with sessions); and it cannot pass on what the server says, since it passes
nothing on in a session that is no longer anybody's.
"""

IMPROVED = {
    "2025-03-26": {ENDED_SESSION},
    "2025-06-18": {ENDED_SESSION},
    "2025-11-25": {REBINDING, ENDED_SESSION},
    "2026-07-28": {
        ("server-stateless", "sep-2575-http-server-header-mismatch-400"),
        ("server-stateless", "sep-2575-request-meta-invalid-missing-client-capabilities"),
        ("server-stateless", "sep-2575-request-meta-invalid-missing-meta"),
        ("server-stateless", "sep-2575-request-meta-invalid-missing-protocol-version"),
        # Not in the answers that the server gives itself.
        ("server-stateless", "sep-2575-http-server-error-jsonrpc-id"),
        ("tasks-request-headers", "tasks-headers-reject-mismatched-method"),
    },
}
"""What the gateway does for `server-everything`, which does not do it itself."""

ANYBODY = """
@id("anybody-does-anything")
permit (
  principal,
  action,
  resource
);
"""

Checks = dict[str, Counter[tuple[str, str, str]]]
"""For each conformance scenario, how often a check of this id and name had this status."""


async def conformance_fixture_older(stage: Stage) -> None:
    """All that the suite has for the revisions before: nothing fails, with and without the gateway."""
    for run in ("2025-03-26", "2025-06-18"):
        await _fixture(stage, run)


async def conformance_fixture_2025_11_25(stage: Stage) -> None:
    """All that 2025-11-25 requires of servers: nothing fails, with and without the gateway."""
    await _fixture(stage, "2025-11-25")


async def conformance_fixture_2026_07_28(stage: Stage) -> None:
    """All that 2026-07-28 requires of servers: nothing fails, with and without the gateway."""
    await _fixture(stage, "2026-07-28")


async def conformance_fixture_all(stage: Stage) -> None:
    """Everything that the suite has for servers: nothing fails, with and without the gateway."""
    await _fixture(stage, "all")


async def conformance_everything(stage: Stage) -> None:
    """All that each revision requires, with `server-everything`, which does not pass everything."""
    _, alone = await everything.start(stage)
    _, behind = await everything.start(stage)
    gateway = await _gateway(stage, behind)
    rows = []
    for run, improved in IMPROVED.items():
        direct, through = await asyncio.gather(
            _measure(stage, alone, f"direct-{run}", run),
            _measure(stage, gateway.url, f"through-{run}", run),
        )
        rows.append([run, *_counts(direct), *_counts(through)])
        compare(direct, through, improved)
    await gateway.stop()
    await verify(stage, gateway.log, gateway.directory / "keys" / "log.key.pub")
    head = ["requirements", "passed directly", "failed", "passed through the gateway", "failed"]
    publish(stage, "conformance-everything", table(head, rows))


def _counts(checks: Checks) -> list[str]:
    """How many passed, and how many failed."""
    statuses = Counter[str]()
    for outcomes in checks.values():
        for (_, _, status), count in outcomes.items():
            statuses[status] += count
    return [str(statuses[status]) for status in ("SUCCESS", "FAILURE")]


async def _fixture(stage: Stage, run: str) -> None:
    # One server each: what one run changes, the other would hear of.
    _, alone = await fixture.start(stage, "fixture-alone")
    _, behind = await fixture.start(stage, "fixture-behind")
    gateway = await _gateway(stage, behind, f"gateway-{run}")
    direct, through = await asyncio.gather(
        _measure(stage, alone, f"direct-{run}", run),
        _measure(stage, gateway.url, f"through-{run}", run),
    )
    for name, checks in (("directly", direct), ("through the gateway", through)):
        failed = failures(checks)
        check(not failed, f"not passed {name}:\n" + "\n".join(failed))
    compare(direct, through, set())
    passed, _ = _counts(through)
    equal(int(passed), CHECKS[run], "checks that passed")
    await gateway.stop()
    await verify(stage, gateway.log, gateway.directory / "keys" / "log.key.pub")


async def _gateway(stage: Stage, upstream: str, folder: str = "gateway") -> Gateway:
    gateway = await Gateway.make(stage, url=upstream, folder=folder)
    gateway.edit("[identity]\n", "[identity]\nallow_anonymous = true\n")
    gateway.add_to_policy(ANYBODY)
    await gateway.start()
    return gateway


async def _measure(stage: Stage, url: str, name: str, run: str) -> Checks:
    output = stage.directory / name
    suite = stage.package("conformance/dist/index.js")
    # Its exit status tells of the server, which need not pass everything.
    ended = await stage.run(
        *(stage.node, suite, "server", "--url", url, *RUNS[run]), *("--output-dir", str(output))
    )
    check(output.is_dir(), f"the suite left no results: {ended.errors or ended.output}")
    return read_checks(output, prefix="server-")


def read_checks(output: Path, prefix: str) -> Checks:
    """What the suite left in a folder: one more for each scenario, `PREFIX NAME - TIME`, where the time
    is like `2026-11-22T10-07-37-233Z`.
    """
    return {
        folder.name.removeprefix(prefix).rsplit("-", 6)[0]: _checks(folder / "checks.json")
        for folder in output.iterdir()
    }


def failures(checks: Checks) -> list[str]:
    """What did not pass, one line each."""
    return [line for line in _lines(checks) if line.endswith((" FAILURE", " WARNING"))]


def _checks(path: Path) -> Counter[tuple[str, str, str]]:
    if not path.exists():
        # As it does on answers that it cannot read.
        return Counter({("", "the suite gave up", "FAILURE"): 1})
    return Counter((c["id"], c["name"], c["status"]) for c in json.loads(path.read_text()))


def _lines(checks: Checks) -> list[str]:
    """One line for each different outcome."""
    return [
        f"  {count} x {scenario} {check_id} {name} {status}"
        for scenario, outcomes in sorted(checks.items())
        for (check_id, name, status), count in sorted(outcomes.items())
    ]


def compare(direct: Checks, through: Checks, improved: set[tuple[str, str]]) -> None:
    """Fails unless both are the same, except that what is improved must fail less often than before."""
    equal(through.keys(), direct.keys(), "conformance scenarios through the gateway")
    for scenario, check_id in improved:
        before, now = (_taken(checks[scenario], check_id) for checks in (direct, through))
        check(
            now["FAILURE"] < before["FAILURE"],
            f"{scenario} {check_id}: directly {dict(before)}, through the gateway {dict(now)}",
        )
    lost = sorted(set(_lines(direct)) - set(_lines(through)))
    new = sorted(set(_lines(through)) - set(_lines(direct)))
    check(
        not lost and not new,
        "\n".join(["the gateway shows:", "directly:", *lost, "through the gateway:", *new]),
    )


def _taken(outcomes: Counter[tuple[str, str, str]], check_id: str) -> Counter[str]:
    """How often a check had which status; it is taken out."""
    found = [outcome for outcome in outcomes if outcome[0] == check_id]
    return Counter({outcome[2]: outcomes.pop(outcome) for outcome in found})
