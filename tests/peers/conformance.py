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
from stage import Stage, check, equal

RUNS = {
    "2025-11-25": ["--requirements", "2025-11-25"],
    "2026-07-28": ["--requirements", "2026-07-28"],
    "all": ["--suite", "all"],
}
"""The sets of requirements as they were frozen with their revisions, and everything there is now."""

CHECKS = {"2025-11-25": 84, "2026-07-28": 197, "all": 276}
"""Checks that pass with the fixture; fewer would mean that the suite did not get far."""

IMPROVED = {
    ("dns-rebinding-protection", "localhost-host-rebinding-rejected"),
    ("server-session-lifecycle", "server-session-terminated-returns-404"),
}
"""What the gateway does for servers that do not do it themselves."""

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
    """All that 2025-11-25 requires, with `server-everything`, which does not pass everything."""
    _, upstream = await everything.start(stage)
    gateway = await _gateway(stage, upstream)
    direct = await _measure(stage, upstream, "direct", "2025-11-25")
    through = await _measure(stage, gateway.url, "through", "2025-11-25")
    compare(direct, through, IMPROVED)
    await gateway.stop()
    await verify(stage, gateway.log, gateway.directory / "keys" / "log.key.pub")


async def _fixture(stage: Stage, run: str) -> None:
    # One server each: what one run changes, the other would hear of.
    _, alone = await fixture.start(stage, "fixture-alone")
    _, behind = await fixture.start(stage, "fixture-behind")
    gateway = await _gateway(stage, behind)
    direct, through = await asyncio.gather(
        _measure(stage, alone, "direct", run), _measure(stage, gateway.url, "through", run)
    )
    for name, checks in (("directly", direct), ("through the gateway", through)):
        failed = failures(checks)
        check(not failed, f"not passed {name}:\n" + "\n".join(failed))
    compare(direct, through, set())
    passed = sum(
        count
        for checks in through.values()
        for (_, _, status), count in checks.items()
        if status == "SUCCESS"
    )
    equal(passed, CHECKS[run], "checks that passed")
    await gateway.stop()
    await verify(stage, gateway.log, gateway.directory / "keys" / "log.key.pub")


async def _gateway(stage: Stage, upstream: str) -> Gateway:
    gateway = await Gateway.make(stage, url=upstream)
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
    return Counter((c["id"], c["name"], c["status"]) for c in json.loads(path.read_text()))


def _lines(checks: Checks) -> list[str]:
    """One line for each different outcome."""
    return [
        f"  {count} x {scenario} {check_id} {name} {status}"
        for scenario, outcomes in sorted(checks.items())
        for (check_id, name, status), count in sorted(outcomes.items())
    ]


def compare(direct: Checks, through: Checks, improved: set[tuple[str, str]]) -> None:
    """Fails unless both are the same, except for what must have failed before and passes now."""
    equal(through.keys(), direct.keys(), "conformance scenarios through the gateway")
    for scenario, check_id in improved & {(s, c[0]) for s in direct for c in direct[s]}:
        for checks, status in ((direct, "FAILURE"), (through, "SUCCESS")):
            outcomes = checks[scenario]
            found = [outcome for outcome in outcomes if outcome[0] == check_id]
            equal([status for _, _, status in found], [status], f"{scenario} {check_id}")
            for outcome in found:
                del outcomes[outcome]
    lost = sorted(set(_lines(direct)) - set(_lines(through)))
    new = sorted(set(_lines(through)) - set(_lines(direct)))
    check(
        not lost and not new,
        "\n".join(["the gateway shows:", "directly:", *lost, "through the gateway:", *new]),
    )
