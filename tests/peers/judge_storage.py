"""Scenarios: copies of the log under Object Lock, read by a client that is not ours."""

from __future__ import annotations

import asyncio
import json
import time

import judging
import published
import repository
import trail
from gateway import Gateway
from stage import Stage, check

CALLS = 140
"""Enough entries for a full tile."""

COPIED_SECONDS_MAX = 30.0
"""For everything that is published to be copied."""

BUCKET, PREFIX = "audit", "gateway-1"


async def judge_object_lock(stage: Stage) -> None:
    """PyPI boto3 finds every copy in PyPI moto locked, and restores a log that judges accept."""
    port = stage.free_port()
    endpoint = f"http://127.0.0.1:{port}"
    moto = [judging.program(stage, "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    await judging.served(stage, "moto", port, *moto)
    client = [*judging.script(stage, "bucket"), endpoint]
    await judging.accepts(stage, *client, "make", BUCKET)
    gateway = await _gateway(stage, endpoint)
    await gateway.start()
    await published.call(gateway, CALLS)
    await _copied(gateway)
    await gateway.stop()
    await judging.accepts(stage, *client, "locked", BUCKET, PREFIX)

    # Anybody with the right to write may lay something over a name; versions stay.
    await judging.accepts(stage, *client, "overlay", BUCKET, PREFIX)
    manifest = await _last_manifest(stage, gateway)
    restored = stage.directory / "restored"
    await judging.accepts(stage, *client, "restore", BUCKET, PREFIX, *manifest, str(restored))
    key = str(gateway.directory / "keys" / "log.key.pub")
    judge = [judging.sumdb(stage), "-key", key, "-log"]
    await judging.accepts(stage, *judge, str(restored))
    await judging.verdict(stage, judging.VALID, "--key", key, str(restored))
    overlaid = stage.directory / "overlaid"
    await judging.accepts(stage, *client, "latest", BUCKET, PREFIX, str(overlaid))
    await judging.refuses(stage, "do not have the signed root", *judge, str(overlaid))
    await judging.verdict(stage, judging.ALTERED, "--key", key, str(overlaid))
    # And what is laid over is not locked.
    await judging.refuses(stage, "has the lock None", *client, "locked", BUCKET, PREFIX)


async def _gateway(stage: Stage, endpoint: str) -> Gateway:
    path = await repository.make(stage)
    gateway = await Gateway.make(stage, command=repository.server(stage, path))
    credentials = gateway.directory / "keys" / "s3.toml"
    credentials.touch(0o600)
    credentials.write_text(
        'access_key_id = "AKIAEXAMPLE"\nsecret_access_key = "secret-for-trials"\n'
    )
    gateway.add_to_config(
        f"""
[log.s3]
bucket = "{BUCKET}"
prefix = "{PREFIX}"
region = "us-east-1"
endpoint = "{endpoint}"
path_style = true
allow_insecure_loopback = true
credentials = "keys/s3.toml"
retention_days = 1
interval_s = 1
"""
    )
    return gateway


async def _copied(gateway: Gateway) -> None:
    """Returns when a checkpoint with a full tile is copied."""
    deadline = time.monotonic() + COPIED_SECONDS_MAX
    while True:
        assert gateway.program is not None
        lines = [line for line in gateway.program.output().splitlines() if "log copied" in line]
        if lines and json.loads(lines[-1]).get("size", 0) > 256:
            return
        check(time.monotonic() < deadline, f"the log is not copied: {lines[-1:]}")
        await asyncio.sleep(0.1)


async def _last_manifest(stage: Stage, gateway: Gateway) -> tuple[str, str]:
    """Name and version of the last manifest, as the log records them."""
    events = await trail.read(stage, gateway.log, "--all")
    anchored = [event for event in events if event["kind"] == "log.anchored"]
    check(len(anchored) > 0, "no copy is on record")
    details = anchored[-1]["details"]
    check(int(details["size"]) > 256, f"the last copy on record: {details}")
    return details["manifest"], details["manifest_version"]
