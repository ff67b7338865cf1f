"""Scenarios: servers on the official SDKs, which write down what they execute, get the same hostile bytes
directly and through the gateway. Whatever they execute through it was permitted and is on record, exactly;
everything else was refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, MCPError

import clients
import gateway as gateways
import hostile
import hostile_answers
import trail
from gateway import Gateway
from hostile import Case
from stage import Failed, Stage, check, equal

POLICY = """
@id("reading-only")
forbid (principal, action == Action::"tools/call", resource)
unless { resource.name like "read-*" };
"""

HERE = Path(__file__).parent

GENERATED = 200
SEED = 20_260_728

ANSWER_SECONDS_MAX = 10.0
"""For an answer over HTTP; some requests never end for some servers."""

PROGRAM_SECONDS_MAX = 2.0
"""For an answer of a program, which has none for what it cannot read."""

LINES_SECONDS_MAX = 60.0
"""For a program to get through all lines."""

AT_ONCE = 12
"""Requests to one server."""

TOLD = re.compile(r'"callId":"([0-9a-f-]{36})","reason":"([a-z0-9.-]+)"')
"""What the gateway tells of a call that it refused, or that brought no usable answer."""

ON_RECORD_AS = {
    "upstream.unreachable": {"unreachable"},
    "upstream.timed-out": {"timed-out"},
    "upstream.reply-too-large": {"reply-too-large"},
    "upstream.malformed-reply": {"malformed-reply"},
    "upstream.broke": {"transport-failure", "http-error"},
    "gateway.overloaded": {"refused", "unknown"},
}
"""The outcomes of what was permitted and brought no usable answer; all else that is told was refused."""

EXPERIENCE_MIN = 40
"""Forbidden tools that each server must execute when it is asked directly, or the cases are tame."""


@cache
def all_cases() -> list[Case]:
    """The same ones for every server."""
    return hostile.all_cases(GENERATED, SEED)


Execution = tuple[str, str, str]
"""Method, name and arguments (as they were written down) of what a server executed."""


@dataclass
class Tally:
    """What came of all cases with one server."""

    lane: str
    cases: int = 0
    direct: list[Execution] = field(default_factory=list)
    through: list[Execution] = field(default_factory=list)
    told: dict[str, str] = field(default_factory=dict)
    """Calls without an answer of the server, and the reason that the gateway told us."""

    def hear(self, answer: bytes) -> None:
        """Notes what an answer tells of calls."""
        self.told.update(TOLD.findall(answer.decode(errors="replace")))


def noted(path: Path) -> list[Execution]:
    """What a server has written down."""
    written = path.read_text(errors="surrogatepass").split("\n")[:-1] if path.exists() else []
    notes = map(json.loads, written)
    return [(note["method"], note["name"], note["arguments"]) for note in notes]


def server(stage: Stage, lane: str, path: Path) -> list[str]:
    """The command of a server that writes into this file; a port may follow."""
    if lane == "python":
        return [stage.python_program("python"), str(HERE / "noting.py"), str(path)]
    # The gateway gives a program none of its own variables.
    modules = f"NODE_PATH={stage.modules}"
    return ["/usr/bin/env", modules, stage.node, str(HERE / "noting.cjs"), lane, str(path)]


async def differential_http(stage: Stage) -> None:
    """Hostile requests over HTTP to servers on the Python SDK and on both TypeScript SDKs."""
    lanes = ["python", "sdk", "sdk-express", "server"]
    ports = {(lane, way): stage.free_port() for lane in lanes for way in ("direct", "through")}
    files = {key: stage.directory / f"{'-'.join(key)}.jsonl" for key in ports}
    started = [
        (stage.start("-".join(key), *server(stage, key[0], files[key]), str(port)), port)
        for key, port in ports.items()
    ]
    for program, port in started:
        await stage.listening(program, port)
    table = "".join(
        f'[[server]]\nname = "{lane}"\nurl = "http://127.0.0.1:{ports[lane, "through"]}/mcp"\n'
        for lane in lanes
    )
    gateway = await _gateway(stage, table)
    token = gateway.token()

    async def play(lane: str) -> Tally:
        tally = Tally(lane, len(all_cases()))
        waiting = iter(all_cases())

        async def sender() -> None:
            for case in waiting:
                await _exchanged(ports[lane, "direct"], case, "", None)
                answer = await _exchanged(gateway.port, case, f"/s/{lane}", token)
                tally.hear(answer)

        await asyncio.gather(*(sender() for _ in range(AT_ONCE)))
        return tally

    tallies = await asyncio.gather(*map(play, lanes))
    records = await _records(stage, gateway)
    for tally in tallies:
        tally.direct = noted(files[tally.lane, "direct"])
        tally.through = noted(files[tally.lane, "through"])
        judge(tally, records, tally.lane)


async def differential_bridge(stage: Stage) -> None:
    """Hostile requests over HTTP to local programs on the Python SDK and on the TypeScript SDK."""
    lanes = ["python", "sdk", "server"]
    files = {lane: stage.directory / f"{lane}.jsonl" for lane in lanes}
    table = "".join(
        f'[[server]]\nname = "{lane}"\ncommand = {json.dumps(server(stage, lane, files[lane]))}\n'
        for lane in lanes
    )
    gateway = await _gateway(stage, table)
    token = gateway.token()

    async def play(lane: str) -> Tally:
        tally = Tally(lane, len(all_cases()))
        url = f"http://127.0.0.1:{gateway.port}/s/{lane}/mcp"
        async with clients.http_client(token) as http:
            opened = await http.post(url, json=clients.INITIALIZE, headers=clients.ACCEPT)
            session = {"Mcp-Session-Id": opened.headers["mcp-session-id"]}
            done = {"jsonrpc": "2.0", "method": "notifications/initialized"}
            await http.post(url, json=done, headers=clients.ACCEPT | session)
        waiting = iter(all_cases())

        async def sender() -> None:
            for case in waiting:
                answer = await _exchanged(gateway.port, case, f"/s/{lane}", token, session)
                tally.hear(answer)

        await asyncio.gather(*(sender() for _ in range(AT_ONCE)))
        return tally

    tallies = await asyncio.gather(*map(play, lanes))
    records = await _records(stage, gateway)
    for tally in tallies:
        tally.through = noted(files[tally.lane])
        judge(tally, records, tally.lane)


async def differential_stdio(stage: Stage) -> None:
    """Hostile lines to local programs on the Python SDK and on both TypeScript SDKs."""
    cases = [case for case in all_cases() if not case.only_http]
    lanes = [(lane, modern) for lane in ("python", "sdk", "server") for modern in (False, True)]
    lanes.remove(("sdk", True))

    async def play(lane: str, modern: bool) -> tuple[Tally, Path]:
        chosen = [case for case in cases if bool(case.headers) == modern]
        name = f"{lane}-{'modern' if modern else 'sessions'}"
        files = [stage.directory / f"{name}-{way}.jsonl" for way in ("direct", "through")]
        await _lines(stage, f"{name}-direct", server(stage, lane, files[0]), chosen, modern)
        data = stage.directory / f"{name}-wrap"
        wrap = [str(stage.binary), "wrap", "--name", lane, "--data", str(data), "--"]
        await stage.run(*wrap, "true")
        with (data / "policy" / "main.cedar").open("a") as policy:
            policy.write(POLICY)
        command = [*wrap, *server(stage, lane, files[1])]
        answers = await _lines(stage, f"{name}-through", command, chosen, modern)
        tally = Tally(name, len(chosen), noted(files[0]), noted(files[1]))
        tally.hear(answers)
        return tally, data

    for tally, data in await asyncio.gather(*(play(*lane) for lane in lanes)):
        records = await trail.read(stage, data / "log")
        await gateways.verify(stage, data / "log", data / "keys" / "log.key.pub")
        judge(tally, records, tally.lane.split("-")[0])


def judge(tally: Tally, records: Iterable[dict[str, Any]], name: str) -> None:
    """What was executed was permitted, once each; what was refused is on record."""
    asked: Counter[tuple[str, str]] = Counter()
    outcomes: dict[str, str] = {}
    for record in records:
        resource = record.get("resource", {})
        if record["kind"] == "call.refused":
            outcomes[record["call"]] = "refused"
            continue
        outcomes[record["call"]] = trail.outcome(record)
        if resource.get("server") == name:
            equal(record["decision"]["effect"], "permit", f"decision of {record}")
            asked.update((resource["method"], said) for said in resource.get("names", []))
    executed = Counter(execution[:2] for execution in tally.through)
    problems = [f"executed and not on record: {key}" for key in executed - asked]
    problems += [
        f"executed and not permitted: {execution}"
        for execution in tally.through
        if execution[0] == "tools/call" and not execution[1].startswith("read-")
    ]
    if tally.direct:
        # A request that only its head made hostile is another one when the gateway sends it, and so is a
        # line in which a carriage return stood.
        other = {str(case.number) for case in all_cases() if case.only_http or b"\r" in case.body}
        changed = Counter(tally.through) - Counter(tally.direct)
        problems += [
            f"executed through the gateway only: {execution}"
            for execution in changed
            if not other.intersection(re.findall(r"\d+", execution[1]))
        ]
        bad = sum(1 for execution in tally.direct if not execution[1].startswith("read-"))
        check(bad >= EXPERIENCE_MIN, f"{tally.lane}: only {bad} forbidden executions directly")
    for call, reason in tally.told.items():
        if outcomes.get(call) not in ON_RECORD_AS.get(reason, {"refused"}):
            problems.append(f"told {reason}, on record as {outcomes.get(call)}: {call}")
    print(
        f"  {tally.lane:18} {tally.cases} cases, executed {len(tally.direct)} directly and"
        f" {len(tally.through)} through, {len(tally.told)} refused"
    )
    if problems:
        raise Failed(f"{tally.lane}:\n  " + "\n  ".join(problems[:30]))


async def _gateway(stage: Stage, servers: str) -> Gateway:
    gateway = await Gateway.make(stage, url="http://127.0.0.1:1/mcp")
    one = f'[server]\nname = "{gateways.SERVER}"\nurl = "http://127.0.0.1:1/mcp"\n'
    gateway.edit(one, servers)
    gateway.add_to_policy(POLICY)
    await gateway.start()
    return gateway


async def _records(stage: Stage, gateway: Gateway) -> Sequence[dict[str, Any]]:
    await trail.settled(stage, gateway.log)
    await gateway.stop()
    await gateways.verify(stage, gateway.log, gateway.directory / "keys" / "log.key.pub")
    return await trail.read(stage, gateway.log)


async def _exchanged(
    port: int, case: Case, prefix: str, token: str | None, more: dict[str, str] | None = None
) -> bytes:
    """Sends a case as it is; everything that comes back until the connection ends."""
    seconds_max = PROGRAM_SECONDS_MAX if more else ANSWER_SECONDS_MAX
    request = rendered(port, case, prefix, token, more or {})
    answer = b""
    writer = None
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(seconds_max):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            while piece := await reader.read(1 << 16):
                answer += piece
    if writer:
        writer.close()
    return answer


def rendered(
    port: int, case: Case, prefix: str, token: str | None, more: dict[str, str]
) -> bytes:
    """The bytes of a request."""
    host = f"127.0.0.1:{port}"
    filled = {hostile.HOST: host, hostile.BEARER: token or "none", hostile.PREFIX: prefix}

    def fill(template: bytes) -> bytes:
        for place, value in filled.items():
            template = template.replace(place, value.encode())
        return template

    framing, body = [("Content-Length", str(len(case.body)))], case.body
    if case.frame:
        framing, body = case.frame(case.body, fill)
    usual = [("Host", host), ("Content-Type", "application/json"), *clients.ACCEPT.items()]
    usual += [("Connection", "close"), *more.items()]
    usual += [(name, value) for name, value in clients.bearer(token).items()]
    said = {name.lower() for name, _ in case.headers}
    headers = [header for header in usual if header[0].lower() not in said]
    head = [case.line.replace(" /", f" {prefix}/", 1)]
    head += [f"{name}: {value}" for name, value in [*headers, *case.headers, *framing]]
    return "\r\n".join(head).encode("latin-1", "replace") + b"\r\n\r\n" + body


async def _lines(
    stage: Stage, name: str, command: list[str], cases: Iterable[Case], modern: bool
) -> bytes:
    """Has a program read each case as a line; everything that it says."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=(stage.directory / f"{name}.log").open("ab"),
        cwd=stage.directory,
        env=stage.environment,
        limit=1 << 24,
    )
    assert process.stdin and process.stdout
    said = b""

    async def until(word: bytes) -> None:
        nonlocal said
        while line := await process.stdout.readline():
            said += line
            if word in line:
                return
        raise Failed(f"{name} ended before {word.decode()}")

    async def asked(word: str) -> None:
        method = '"server/discover"' if modern else '"ping"'
        pairs = [('"jsonrpc"', '"2.0"'), ('"id"', f'"{word}"'), ('"method"', method)]
        pairs += [('"params"', f'{{"_meta":{hostile.meta()}}}')] if modern else []
        process.stdin.write(hostile.obj(pairs).encode() + b"\n")
        await process.stdin.drain()
        await until(word.encode())

    try:
        async with asyncio.timeout(LINES_SECONDS_MAX):
            if modern:
                # The first message says which era it is.
                await asked("first")
            else:
                done = {"jsonrpc": "2.0", "method": "notifications/initialized"}
                for message in (clients.INITIALIZE, done):
                    process.stdin.write(json.dumps(message).encode() + b"\n")
            for at, case in enumerate(cases):
                process.stdin.write(case.body + b"\n")
                await asked(f"after-{at}-")
            process.stdin.close()
            said += await process.stdout.read()
            await process.wait()
    except TimeoutError:
        raise Failed(f"{name} did not get through all lines") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return said


# --- what servers answer -------------------------------------------------------------------------


async def differential_answers(stage: Stage) -> None:
    """Hostile answers of a server, as the Python client and the TypeScript client read them."""
    answers = hostile_answers.all_answers()
    names = [f"answer-{at}" for at in range(len(answers))]
    async with hostile_answers.serving(answers) as port:
        upstream = f"http://127.0.0.1:{port}/mcp"
        for title, read in (("python", _read_by_python), ("typescript", _read_by_typescript)):
            own = replace(stage, directory=stage.directory / title, programs=stage.programs)
            gateway = await Gateway.started(own, url=upstream)
            understood = await read(own, gateway, names)
            records = {
                record["resource"]["names"][0]: record
                for record in await _records(own, gateway)
                if record.get("resource", {}).get("method") == "tools/call"
            }
            problems = []
            for name, what, case in zip(names, understood, answers, strict=True):
                problem = misunderstood(what, records[name])
                if problem:
                    problems.append(f"{name} ({case.kind}): {problem}")
            kinds = Counter(what[0] for what in understood)
            print(f"  {title:18} {len(answers)} answers: {dict(kinds)}")
            check(kinds["result"] >= ACCEPTED_MIN, f"{title}: only {kinds['result']} were accepted")
            if problems:
                raise Failed(f"{title}:\n  " + "\n  ".join(problems))
            accepted = await _accepted_directly(upstream, names) if title == "python" else []
            evil = sum(1 for what in accepted if "evil" in str(what))
            check(title != "python" or evil >= EVIL_MIN, f"only {evil} forged answers directly")


ACCEPTED_MIN = 20
"""Answers that a client must take through the gateway, or the cases are none."""

EVIL_MIN = 3
"""Forged answers that a client must take directly, or the cases are tame."""

DIRECT_SECONDS = 1.0
"""For an answer without the gateway; some never come."""

NO_ANSWER_MS = 4_000
"""After this the TypeScript client gives a call up: it waits where nothing comes that it takes for an answer."""

Understood = tuple[str, Any]
"""What a client takes for the answer: `result` with its text and whether it is an error, `error` with its
code and data, or `nothing`.
"""


def misunderstood(what: Understood, record: dict[str, Any]) -> str | None:
    """Why what the client took is not what is on record."""
    on_record = trail.outcome(record)
    match what:
        case ("result", (text, is_error)):
            wanted = "tool-error" if is_error else "ok"
            if on_record != wanted:
                return f"accepted as {wanted}, on record as {on_record}"
        case ("error", (hostile_answers.SERVER_CODE, _)):
            if on_record not in ("protocol-error", "http-error"):
                return f"an error of the server, on record as {on_record}"
        case _:
            if on_record == "open":
                return "no outcome on record"
            return None
    return None


async def _read_by_python(_: Stage, gateway: Gateway, names: list[str]) -> list[Understood]:
    async with clients.over_http(gateway.url, gateway.token(), mode="legacy") as client:
        return [await _called(client, name) for name in names]


async def _accepted_directly(url: str, names: list[str]) -> list[Understood]:
    understood: list[Understood] = []
    async with clients.over_http(url, None, mode="legacy") as client:
        for name in names:
            called: Understood = ("nothing", None)
            with anyio.move_on_after(DIRECT_SECONDS):
                called = await _called(client, name)
            understood.append(called)
    return understood


async def _called(client: Client, name: str) -> Understood:
    try:
        result = await client.call_tool(name, {})
    except MCPError as error:
        return "error", (error.code, error.data)
    except Exception as error:
        return "nothing", repr(error)
    text = "".join(getattr(part, "text", "") for part in result.content)
    return "result", (text, bool(result.is_error))


async def _read_by_typescript(
    stage: Stage, gateway: Gateway, names: list[str]
) -> list[Understood]:
    options = {"timeout": NO_ANSWER_MS}
    steps = [
        {"do": "callTool", "with": {"name": name, "arguments": {}}, "options": options}
        for name in names
    ]
    done = await clients.typescript(stage, gateway.url, gateway.token(), steps)
    understood: list[Understood] = []
    for step in done:
        if "result" in step:
            content = step["result"].get("content") or []
            text = "".join(part.get("text", "") for part in content)
            understood.append(("result", (text, bool(step["result"].get("isError")))))
        elif step["error"].get("code") is not None:
            understood.append(("error", (step["error"]["code"], step["error"].get("data"))))
        else:
            understood.append(("nothing", step["error"]))
    return understood
