"""The gateway under trial: configured by `countersign init` and edits to what that made, started,
read through `search`, proved by `verify`. Knows the program from outside only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import tokens
import trail
from certificates import Authority
from servers import Server
from stage import Failed, Program, Stage, check, equal

SERVER = "peer"
"""What the configuration calls the server behind the gateway."""

POLICY = """
@id("agents-do-everything")
permit (
  principal in Provider::"issuer",
  action,
  resource
);

@id("nobody-reads-the-environment")
forbid (
  principal,
  action == Action::"tools/call",
  resource == Tool::"peer/get-env"
);
"""


class Gateway:
    """A gateway in front of one server. Who has a token of the issuer may do nearly everything."""

    def __init__(self, stage: Stage, directory: Path, port: int, key: str) -> None:
        self.stage = stage
        self.directory = directory
        self.port = port
        self.origin = f"http://127.0.0.1:{port}"
        self.roots: Path | None = None
        """The authority that vouches for it, where it speaks TLS."""
        self.key = key
        """The development key that `init` made."""
        self.log = directory / "log"
        self.issuer = tokens.Issuer()
        self.program: Program | None = None

    @property
    def url(self) -> str:
        """The endpoint of its server, or of all of them."""
        return f"{self.origin}/mcp"

    @classmethod
    async def make(
        cls,
        stage: Stage,
        *,
        url: str | None = None,
        command: Sequence[str] = (),
        folder: str = "gateway",
    ) -> Gateway:
        """Makes one as an operator would: `init`, then a port, a trust provider and policies."""
        directory = stage.directory / folder
        arguments = ["init", str(directory), "--name", "gateway-1", "--server", SERVER]
        arguments += ["--url", url] if url else ["--", *command]
        ended = await stage.run(str(stage.binary), *arguments)
        check(ended.status == 0, f"init failed: {ended.errors}")
        words = [word for word in ended.output.split() if word.startswith("cs_dev_")]
        check(len(words) == 1, f"init shows no development key: {ended.output}")
        gateway = cls(stage, directory, stage.free_port(), words[0])
        # Where it listens, and the audience of its tokens.
        gateway.edit("127.0.0.1:8700", f"127.0.0.1:{gateway.port}")
        gateway.add_to_config(
            f"""
[[identity.provider]]
name = "issuer"
issuer = "{gateway.issuer.name}"
jwks_file = "keys/jwks.json"
"""
        )
        tokens.write_key_set(directory / "keys" / "jwks.json", gateway.issuer)
        gateway.add_to_policy(POLICY)
        return gateway

    @classmethod
    async def make_for(
        cls, stage: Stage, all_servers: Sequence[Server], folder: str = "gateway"
    ) -> Gateway:
        """As `make`, in front of several servers, each at `/s/NAME/mcp`."""
        gateway = await cls.make(stage, url="http://127.0.0.1:1/mcp", folder=folder)
        tables = ""
        for server in all_servers:
            how = ("url", server.url) if server.url else ("command", list(server.command))
            tables += f"[[server]]\nname = {json.dumps(server.name)}\n"
            tables += f"{how[0]} = {json.dumps(how[1])}\n{server.settings}"
        gateway.edit(f'[server]\nname = "{SERVER}"\nurl = "http://127.0.0.1:1/mcp"\n', tables)
        return gateway

    @classmethod
    async def started(
        cls, stage: Stage, *, url: str | None = None, command: Sequence[str] = ()
    ) -> Gateway:
        """As `make`, and running."""
        gateway = await cls.make(stage, url=url, command=command)
        await gateway.start()
        return gateway

    def edit(self, old: str, new: str) -> None:
        """Changes the configuration."""
        path = self.directory / "countersign.toml"
        text = path.read_text()
        check(old in text, f"the configuration has no `{old}`")
        path.write_text(text.replace(old, new))

    def add_to_config(self, text: str) -> None:
        """Adds tables to the configuration."""
        with (self.directory / "countersign.toml").open("a") as file:
            file.write(text)

    def add_to_policy(self, text: str) -> None:
        """Adds policies."""
        with (self.directory / "policy" / "main.cedar").open("a") as file:
            file.write(text)

    def secure(self, authority: Authority) -> None:
        """Has it speak TLS, with a certificate of this authority."""
        pair = authority.server("gateway-1")
        files = f'certificate = "{pair.certificate}"\nkey = "{pair.key}"\n'
        self.add_to_config(f"\n[gateway.tls]\n{files}")
        # The audience of tokens.
        self.edit(f"{self.origin}/mcp", f"https://127.0.0.1:{self.port}/mcp")
        self.origin = f"https://127.0.0.1:{self.port}"
        self.roots = authority.roots

    async def start(self) -> None:
        """Starts it; returns when it listens."""
        config = str(self.directory / "countersign.toml")
        self.program = self.stage.start(
            "gateway", str(self.stage.binary), "serve", "--config", config
        )
        await self.stage.listening(self.program, self.port)

    def token(self, subject: str = "agent") -> str:
        """A token that the gateway accepts."""
        return self.issuer.token(subject, self.url)

    async def expect(self, wanted: str, *, stays_open: str | None = None) -> list[trail.Record]:
        """The trail must be this; see `trail.expect`. Every call must have its end on record before the
        gateway stops, which it does here, except calls of a tool that stays open. Then the log must
        verify.

        Returns the records for a closer look.
        """
        await trail.settled(self.stage, self.log, stays_open)
        await self.stop()
        records = await trail.read(self.stage, self.log)
        trail.expect(records, wanted)
        await verify(self.stage, self.log, self.directory / "keys" / "log.key.pub")
        return records

    async def stop(self) -> None:
        """Stops it in good order."""
        if self.program is None:
            raise Failed("the gateway was never started")
        check(self.program.running(), "the gateway ended by itself")
        equal(self.program.stop(), 0, "exit status of the gateway")


async def verify(stage: Stage, log: Path, key: Path) -> None:
    """The log must verify whole, with a key kept outside it."""
    ended = await stage.run(str(stage.binary), "verify", str(log), "--key", str(key), "--json")
    equal(ended.status, 0, f"exit status of verify ({ended.output} {ended.errors})")
    json.loads(ended.output)
