"""A PostgreSQL of the system, in a folder of its own, for the server that looks into one. Knows nothing of
MCP.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from stage import Stage, check

USER = "postgres"
"""PostgreSQL refuses to run for root; this is whom Debian's package made for it."""


@asynccontextmanager
async def running(stage: Stage) -> AsyncIterator[str]:
    """A database that trusts every local client; yields its address."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name))
    # Outside the stage, whose folders are for their owner only.
    folder = Path(tempfile.mkdtemp(prefix="countersign-postgres-"))
    try:
        # Into a folder that it may read.
        before = ["env", f"--chdir={folder}", *_as_user(folder)]
        made = await stage.run(
            *(*before, str(programs / "initdb"), "--pgdata", str(folder / "db")),
            *("--auth", "trust", "--username", USER, "--no-sync", "--locale", "C"),
        )
        check(made.status == 0, f"initdb: {made.errors}")
        port = stage.free_port()
        program = stage.start(
            "postgres",
            *(*before, str(programs / "postgres"), "-D", str(folder / "db"), "-p", str(port)),
            *("-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-k", str(folder)),
        )
        await stage.listening(program, port)
        try:
            yield f"postgresql://{USER}@127.0.0.1:{port}/postgres"
        finally:
            # Asked in the usual way it would wait for clients that stay connected.
            program.stop(signal.SIGINT)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as_user(folder: Path) -> list[str]:
    """What to put before a command so that it does not run for root."""
    if os.geteuid() != 0:
        return []
    user = pwd.getpwnam(USER)
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
