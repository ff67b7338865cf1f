"""Scenarios: the official conformance suite against a client, which is connected to the suite's servers
directly and through the gateway. What the suite sees must be the same: check by check, passed or not.

The scenarios about authorization are left out: they are about the client's dealings with an
authorization server, and the gateway is a resource server of its own.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

import gateway
import trail
from conformance import Checks, compare, failures, read_checks
from stage import NotRun, Stage, check, equal

SCENARIOS = [
    "initialize",
    "tools_call",
    "elicitation-sep1034-client-defaults",
    "sse-retry",
    "request-metadata",
    "sep-2322-client-request-state",
    "http-standard-headers",
    "http-custom-headers",
    "http-invalid-tool-headers",
    "json-schema-ref-no-deref",
    "json-schema-2020-12-preservation",
]

CLIENT_MS_MAX = 60_000

HERE = Path(__file__).parent


async def conformance_clients(stage: Stage) -> None:
    """The Python client in front of the suite's servers: nothing fails, with and without the gateway."""
    network = await _own_network(stage)
    for scenario in SCENARIOS:
        # One at a time: some of them measure time.
        folder = stage.directory / f"gateway-{scenario}"
        behind = [str(HERE / "client_behind.py"), str(stage.binary), str(folder)]
        direct, through = await asyncio.gather(
            _measure(stage, network, scenario, "direct", [str(HERE / "lone_client.py")]),
            _measure(stage, network, scenario, "through", behind),
        )
        for name, checks in (("directly", direct), ("through the gateway", through)):
            failed = failures(checks)
            check(not failed, f"not passed {name}:\n" + "\n".join(failed))
        compare(direct, through, set())
        log = folder / "log"
        lists = await trail.read(stage, log, "--method", "tools/list")
        equal({trail.outcome(record) for record in lists} - {"protocol-error"}, {"ok"}, scenario)
        await gateway.verify(stage, log, folder / "keys" / "log.key.pub")


async def _own_network(stage: Stage) -> list[str]:
    """The command before a command that gives it a network of its own: the suite's servers listen on
    every interface there is.
    """
    problem = "there is no `unshare`"
    for unshare in (["unshare", "--net"], ["unshare", "--net", "--map-root-user"]):
        if shutil.which(unshare[0]) is None:
            break
        command = [*unshare, sys.executable, str(HERE / "alone.py")]
        ended = await stage.run(*command, "true")
        if ended.status == 0:
            return command
        problem = ended.errors.strip()
    raise NotRun(f"no network of its own for servers that listen everywhere: {problem}")


async def _measure(
    stage: Stage, network: list[str], scenario: str, name: str, client: list[str]
) -> Checks:
    output = stage.directory / f"{name}-{scenario}"
    suite = stage.package("conformance/dist/index.js")
    ended = await stage.run(
        *(*network, stage.node, suite, "client", "--scenario", scenario),
        *("--command", " ".join([sys.executable, *client]), "--timeout", str(CLIENT_MS_MAX)),
        *("--output-dir", str(output)),
    )
    equal(ended.status, 0, f"exit status of {scenario}, {name} ({ended.output} {ended.errors})")
    return read_checks(output, prefix="")
