"""The server `mcp-server-git` (PyPI), which speaks 2026-07-28 over standard input and output, and a
repository for it to look at.
"""

from __future__ import annotations

from pathlib import Path

from stage import Stage, check

COMMITS = 5


async def make(stage: Stage) -> Path:
    """A repository with a few commits and one file that is not in it yet."""
    directory = stage.directory / "repository"
    directory.mkdir()
    await _git(stage, directory, "init", "--quiet", "--initial-branch", "main")
    for number in range(1, COMMITS + 1):
        (directory / "notes.txt").write_text(f"note {number}\n")
        await _git(stage, directory, "add", "notes.txt")
        await _git(stage, directory, "commit", "--quiet", "--message", subject(number))
    (directory / "new.txt").write_text("not in it yet\n")
    return directory


def subject(number: int) -> str:
    """The message of a commit; the first has number 1."""
    return f"write note {number}"


def server(stage: Stage, repository: Path) -> list[str]:
    """The server as a local program."""
    return [stage.python_program("mcp-server-git"), "--repository", str(repository)]


async def _git(stage: Stage, directory: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Jane Doe", "-c", "user.email=jane@example.com"]
    ended = await stage.run("git", "-C", str(directory), *identity, *arguments)
    check(ended.status == 0, f"git {arguments[0]}: {ended.errors}")
