"""Scenarios: the official conformance suite against a server, once directly and once through the
gateway. Whatever passes directly must pass through the gateway.
"""

from __future__ import annotations

import json
from pathlib import Path

import everything
from gateway import Gateway, verify
from stage import Stage, check, equal

REVISION = "2025-11-25"

ANYBODY = """
@id("anybody-does-anything")
permit (
  principal,
  action,
  resource
);
"""

SCENARIOS_MIN = 30


async def conformance_2025_11_25(stage: Stage) -> None:
    """`server-everything`, with every requirement of 2025-11-25."""
    _, upstream = await everything.start(stage)
    gateway = await Gateway.make(stage, url=upstream)
    gateway.edit("[identity]\n", "[identity]\nallow_anonymous = true\n")
    gateway.add_to_policy(ANYBODY)
    await gateway.start()
    direct = await _measure(stage, upstream, "direct")
    through = await _measure(stage, gateway.url, "through")
    check(len(direct) >= SCENARIOS_MIN, f"only {len(direct)} conformance scenarios ran")
    equal(through.keys(), direct.keys(), "conformance scenarios through the gateway")
    worse = [
        f"{name}: {check_id} is {through[name].get(check_id)}"
        for name, checks in direct.items()
        for check_id, status in checks.items()
        if status == "SUCCESS" and through[name].get(check_id) != "SUCCESS"
    ]
    check(not worse, f"passes directly, but not through the gateway: {worse}")
    await gateway.stop()
    await verify(stage, gateway.log, gateway.directory / "keys" / "log.key.pub")


async def _measure(stage: Stage, url: str, name: str) -> dict[str, dict[str, str]]:
    """Status of each check of each scenario."""
    output = stage.directory / name
    suite = stage.package("conformance/dist/index.js")
    # Its exit status tells of the server, which does not pass everything.
    ended = await stage.run(
        *(stage.node, suite, "server", "--url", url, "--requirements", REVISION),
        *("--output-dir", str(output)),
    )
    check(output.is_dir(), f"the suite left no results: {ended.errors or ended.output}")
    return {_scenario(folder): _checks(folder / "checks.json") for folder in output.iterdir()}


def _scenario(folder: Path) -> str:
    """`server-NAME-2026-11-22T10-07-37-233Z` without the first and the time."""
    return folder.name.removeprefix("server-").rsplit("-", 6)[0]


def _checks(path: Path) -> dict[str, str]:
    return {check["id"]: check["status"] for check in json.loads(path.read_text())}
