"""Scenarios: keys of the log in a PKCS#11 token, here SoftHSM, looked at with OpenSC."""

from __future__ import annotations

import base64
from pathlib import Path

import judging
import published
import repository
from gateway import Gateway
from stage import Stage, check, equal

MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
"""Where systems put SoftHSM."""

TOKEN, LABEL, PIN = "audit", "log", "1234"
CALLS = 5


async def judge_softhsm(stage: Stage) -> None:
    """A log moves to a key in a SoftHSM token, which stays there; judges accept what it signs."""
    module = await _token(stage)
    pin = stage.directory / "pin"
    pin.touch(0o600)
    pin.write_text(f"{PIN}\n")
    uri = f"pkcs11:token={TOKEN};object={LABEL}?module-path={module}&pin-source={pin}"

    path = await repository.make(stage)
    gateway = await Gateway.make(stage, command=repository.server(stage, path))
    first = gateway.directory / "keys" / "log.key.pub"
    origin = first.read_text().split("+")[0]
    made = await judging.run_ours(stage, "keys", "generate", "--origin", origin, "--pkcs11", uri)
    vkey = stage.directory / "token.vkey"
    vkey.write_text(made.split()[0] + "\n")
    await _looked_at(stage, module, made.split()[0])
    again = ["keys", "generate", "--origin", origin, "--pkcs11", uri]
    await judging.refuses(stage, "already", str(stage.binary), *again)

    await published.serve(gateway, CALLS)
    config = str(gateway.directory / "countersign.toml")
    await judging.run_ours(stage, "keys", "rotate", "--config", config, "--new", uri)
    gateway.edit('key = "keys/log.key"', f'key = "{uri}"\nalso_keys = ["keys/log.key"]')
    await published.serve(gateway, CALLS)

    for key in (first, vkey):
        judge = [judging.sumdb(stage), "-key", str(key), "-log"]
        await judging.accepts(stage, *judge, str(gateway.log))
        await judging.verdict(stage, judging.VALID, "--key", str(key), str(gateway.log))
    tool = [judging.program(stage, "aics-tlog"), "verify-checkpoint", "--vkey-file", str(vkey)]
    await judging.accepts(stage, *tool, "--tiles", str(gateway.log))
    bad = published.tampered(gateway.log, stage.directory / "bad", "checkpoint", len(origin) + 1)
    await judging.refuses(stage, '"ok": false', *tool, "--tiles", str(bad))
    pin.write_text("4321\n")
    await judging.refuses(stage, "log in", str(stage.binary), "serve", "--config", config)


async def _token(stage: Stage) -> str:
    """A new token of this scenario alone; returns the module."""
    found = [path for path in MODULES if Path(path).exists()]
    found += [str(path) for path in Path("/usr/lib").glob("*/softhsm/libsofthsm2.so")]
    check(len(found) > 0, f"SoftHSM is in none of {MODULES}")
    tokens = stage.directory / "tokens"
    tokens.mkdir()
    config = stage.directory / "softhsm2.conf"
    config.write_text(f"directories.tokendir = {tokens}\nlog.level = ERROR\n")
    # For everything that this scenario starts from here on.
    stage.environment["SOFTHSM2_CONF"] = str(config)
    await judging.accepts(
        *(stage, "softhsm2-util", "--init-token", "--free", "--label", TOKEN),
        *("--so-pin", "87654321", "--pin", PIN),
    )
    return found[0]


async def _looked_at(stage: Stage, module: str, vkey: str) -> None:
    """OpenSC sees the public key that we were told, and that the private one stays inside."""
    tool = ["pkcs11-tool", "--module", module, "--token-label", TOKEN, "--label", LABEL]
    key = stage.directory / "token.pub"
    await judging.accepts(
        stage, *tool, "--read-object", "--type", "pubkey", "--output-file", str(key)
    )
    der = stage.directory / "token.der"
    form = ["-pubout", "-outform", "DER", "-out", str(der)]
    await judging.accepts(stage, "openssl", "pkey", "-pubin", "-in", str(key), *form)
    told = base64.b64decode(vkey.split("+", 2)[2])[1:]
    equal(der.read_bytes()[-32:], told, "public key that OpenSC reads")
    said = await judging.accepts(
        stage, *tool, "--login", "--pin", PIN, "--list-objects", "--type", "privkey"
    )
    check("never extractable" in said, f"the private key: {said}")
