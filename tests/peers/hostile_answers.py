"""Answers that two parsers may read differently, and a server that gives them: the tool `answer-N` is
answered with the Nth. Knows no gateway and no client.

What every reader must take for the answer says `good`, what only some would take for it says `evil`.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

ID = "#ID#"
"""Stands for the id of the request."""

GOOD = '{"content":[{"type":"text","text":"good"}]}'
EVIL = '{"content":[{"type":"text","text":"evil"}]}'
WRONG = '{"content":[{"type":"text","text":"evil"}],"isError":true}'
ERROR = '{"code":-32050,"message":"evil"}'

SERVER_CODE = -32_050
"""Of every error that is an answer."""


@dataclass(frozen=True)
class Answer:
    """What the server says to one call."""

    kind: str
    body: bytes
    headers: str = "Content-Type: application/json"
    status: str = "200 OK"


def members(*pairs: str) -> str:
    """A message of these members and the version."""
    return "{" + ",".join(['"jsonrpc":"2.0"', *pairs]) + "}"


def answer(result: str = GOOD, identity: str = ID) -> str:
    """As anybody would write it."""
    return members(f'"id":{identity}', f'"result":{result}')


def bodies() -> Iterator[tuple[str, str | bytes]]:
    """One message in a body of JSON."""
    same = f'"id":{ID}'
    good, evil = f'"result":{GOOD}', f'"result":{EVIL}'
    yield "plain", answer()
    yield "tool error", answer(WRONG)
    yield "error", members(same, f'"error":{ERROR}')
    for pair in (
        *((good, evil), (evil, good), (good, f'"error":{ERROR}'), (f'"error":{ERROR}', good)),
        *((good, '"error":null'), ('"error":null', good), ('"result":null', f'"error":{ERROR}')),
        *((good, f'"Result":{EVIL}'), (f'"RESULT":{EVIL}', good), (good, f'"\\u0072esult":{EVIL}')),
        *((good, f'"result ":{EVIL}'), (good, f'"\\ufeffresult":{EVIL}'), (good, '"method":"ping"')),
        *((good, '"id":999'), (good, f'"__proto__":{{"result":{EVIL}}}'), (good, f'"params":{EVIL}')),
        *((f'"\\u0072esult":{GOOD}', '"a":1'), (f'"Result":{EVIL}', '"a":1'), ('"a":1', '"b":2')),
        *((f'"__proto__":{{"result":{EVIL}}}', '"a":1'), (good, '"Id":999'), (good, '"Error":{}')),
    ):
        yield f"members {pair[0][:20]} and {pair[1][:24]}", members(same, *pair)
        yield f"members {pair[0][:20]} and {pair[1][:24]} before the id", members(*pair, same)
    for result in (
        *('{"content":[],"content":[{"type":"text","text":"evil"}]}', "null", "[]", '"evil"', "1", "{}"),
        *(GOOD[:-1] + ',"isError":true,"isError":false}', GOOD[:-1] + ',"isError":false,"isError":true}'),
        *(GOOD[:-1] + ',"iserror":true}', GOOD[:-1] + ',"isError":"true"}', GOOD[:-1] + ',"isError":1}'),
        *(GOOD[:-1] + ',"isError":null}', GOOD[:-1] + ',"is\\u0045rror":true}', GOOD[:-1] + ',"n":NaN}'),
        *(GOOD[:-1] + ',"n":1e999}', GOOD[:-1] + ',"n":"\\ud800"}', GOOD[:-1] + ',}', GOOD + "/**/"),
        *(GOOD[:-1] + ',"n":' + "[" * depth + "]" * depth + "}" for depth in (100, 300, 20_000)),
        GOOD[:-1] + f',"n":\r{answer(EVIL)}\r}}',
        GOOD[:-1] + f',"n":\n{answer(EVIL)}\n}}',
        GOOD[:-1] + ',"resultType":"input_required","resultType":"complete"}',
        '{"content":[{"type":"text","text":"good","text":"evil"}]}',
        '{"content":[{"type":"text","text":"good","Text":"evil"}]}',
    ):
        yield f"result {result[:60]}", answer(result)
    for identity in (
        *("999", f'"{ID}"', f"{ID}.0", f"{ID}e0", f"[{ID}]", "null", "true", "-0", f"0{ID}", '""', "{}"),
    ):
        yield f"id {identity}", answer(EVIL, identity)
    for error in (
        *('{"code":"-32050","message":"evil"}', '{"code":-32050.0,"message":"evil"}', "{}", "null", "[]"),
        *('{"code":-32050}', '{"code":1e2,"message":"evil"}', '{"code":-32050,"message":1}', '"evil"'),
        *('{"code":-32050,"code":1,"message":"evil"}', '{"Code":1,"code":-32050,"message":"evil"}'),
    ):
        yield f"error {error}", members(same, f'"error":{error}')
    yield from framings()


def framings() -> Iterator[tuple[str, str | bytes]]:
    """A message in another encoding, or with something around it."""
    good, evil = answer(), answer(EVIL)
    yield "an array", f"[{good}]"
    yield "an array of two", f"[{good},{evil}]"
    yield "an array of another one too", f"[{answer(EVIL, '999')},{good}]"
    yield "nothing", ""
    for blank in ("\ufeff", "\x00", "\x0b", "\u00a0", "//\n", ")]}'\n", "\x1e", "\r\n\t "):
        yield f"{blank!r} before", blank + good
        yield f"{blank!r} after", good + blank
    yield "two messages", good + evil
    yield "two lines", f"{good}\n{evil}"
    yield "without a version", good.replace('"jsonrpc":"2.0",', "")
    yield "of another version", good.replace('"2.0"', '"1.0"')
    yield "of two versions", good.replace('"2.0"', '"2.0","jsonrpc":"1.0"')
    for encoding in ("utf-16", "utf-16-le", "utf-32", "utf-8-sig"):
        yield f"in {encoding}", evil.encode(encoding)
    yield "not UTF-8", evil.encode().replace(b"evil", b"ev\xffil")
    yield "overlong", evil.encode().replace(b'"text":', b'"t\xc1\xa5xt":')


def events() -> Iterator[tuple[str, str]]:
    """Streams of events."""
    good, evil = answer(), answer(EVIL)
    broken = GOOD[:-1] + f',"n":\r{answer(EVIL)}\r}}'
    for stream in (
        f"data: {good}\n\n",
        f"data:{good}\n\n",
        f"event: message\ndata: {good}\n\n",
        f"data: {good}\r\r",
        f"data: {good}\r\n\r\n",
        f"data: {good}\n\r\n",
        f"\ufeffdata: {good}\n\n",
        f": {evil}\ndata: {good}\n\n",
        f"data: {good[:17]}\ndata: {good[17:]}\n\n",
        f"data: {good}\n\ndata: {evil}\n\n",
        f"data: {good}\ndata: {evil}\n\n",
        f"data: {evil}\ndata: {good}\n\n",
        f"data: {answer(EVIL, '999')}\n\ndata: {good}\n\n",
        f"event: other\ndata: {evil}\n\ndata: {good}\n\n",
        f"event: error\ndata: {evil}\n\ndata: {good}\n\n",
        f"event:  message\ndata: {evil}\n\ndata: {good}\n\n",
        f"Data: {evil}\n\ndata: {good}\n\n",
        f" data: {evil}\n\ndata: {good}\n\n",
        f"data : {evil}\n\ndata: {good}\n\n",
        f"\x00data: {evil}\n\ndata: {good}\n\n",
        f"id: \x00\ndata: {good}\n\n",
        f"id: 1\nid: 2\nretry: x\ndata: {good}\n\n",
        f"data: nonsense\n\ndata: {good}\n\n",
        f"data\n\ndata: {good}\n\n",
        f"data: [{evil}]\n\ndata: {good}\n\n",
        f'data: {good[:-1]},"result":{EVIL}}}\n\ndata: {good}\n\n',
        f"data: {answer(broken)}\n\n",
        f"data: {evil}",
        f"data: {evil}\n",
        f"data: {good}\u2028\n\n",
        f"data: {good}\u0085data: {evil}\n\n",
        f"data: {answer(EVIL, f'{ID}.0')}\n\ndata: {good}\n\n",
        f"data: {answer(EVIL, 'null')}\n\ndata: {good}\n\n",
        f'data: {good[:-1]},"method":"ping"}}\n\ndata: {good}\n\n',
        "",
    ):
        yield f"stream {stream[:50]!r}", stream


def all_answers() -> list[Answer]:
    """The table."""
    made = [Answer(kind, _bytes(body)) for kind, body in bodies()]
    made += [Answer(kind, _bytes(body), "Content-Type: text/event-stream") for kind, body in events()]
    good, evil = answer().encode(), answer(EVIL).encode()
    for said in (
        *("text/html", "text/plain", "application/json; charset=utf-16", "application/problem+json"),
        *("application/json, text/event-stream", "text/event-stream; charset=utf-16", "APPLICATION/JSON"),
    ):
        made.append(Answer(f"type {said}", evil, f"Content-Type: {said}"))
    made.append(Answer("no type", evil, "X-None: 1"))
    two = "Content-Type: text/event-stream\r\nContent-Type: application/json"
    made.append(Answer("two types", evil, two))
    for coding, body in (("gzip", gzip.compress(evil)), ("identity", good), ("br", evil), ("gzip", evil)):
        headers = f"Content-Type: application/json\r\nContent-Encoding: {coding}"
        made.append(Answer(f"coding {coding}", body, headers))
    for status in ("202 Accepted", "201 Created", "203 A", "206 A", "400 A", "404 A", "409 A", "500 A", "503 A"):
        made.append(Answer(f"status {status}", evil, status=status))
        refusal = members(f'"id":{ID}', f'"error":{ERROR}').encode()
        made.append(Answer(f"error with status {status}", refusal, status=status))
    # With a 404 the server says that it does not know the session: nothing comes after it.
    return sorted(made, key=lambda answer: answer.status.startswith("404"))


def _bytes(body: str | bytes) -> bytes:
    return body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass")


# --- the server ----------------------------------------------------------------------------------


@asynccontextmanager
async def serving(answers: list[Answer]) -> AsyncIterator[int]:
    """A server that knows sessions and these answers; yields its port."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"(?i)content-length: *(\d+)", head)
                body = await reader.readexactly(int(length[1])) if length else b""
                writer.write(_replied(head, body, answers))
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=1 << 22)
    async with server:
        yield server.sockets[0].getsockname()[1]


def _replied(head: bytes, body: bytes, answers: list[Answer]) -> bytes:
    if not head.startswith(b"POST"):
        return _response("405 A" if head.startswith(b"GET") else "200 OK", "X-None: 1", b"")
    message = json.loads(body)
    if "id" not in message:
        return _response("202 Accepted", "X-None: 1", b"")
    identity = json.dumps(message["id"])
    json_type = "Content-Type: application/json"
    match message["method"]:
        case "initialize":
            result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}}
            result["serverInfo"] = {"name": "hostile", "version": "1"}  # type: ignore[assignment]
            headers = f"{json_type}\r\nMcp-Session-Id: session"
            return _response("200 OK", headers, answer(json.dumps(result), identity).encode())
        case "tools/call":
            chosen = answers[int(message["params"]["name"].removeprefix("answer-"))]
            said = chosen.body
            for coding in ("utf-8", "utf-16-le", "utf-32-le"):
                said = said.replace(ID.encode(coding), identity.encode(coding))
            return _response(chosen.status, chosen.headers, said)
        case _:
            result_of_all = answer('{"tools":[]}', identity)
            return _response("200 OK", json_type, result_of_all.encode())


def _response(status: str, headers: str, body: bytes) -> bytes:
    return f"HTTP/1.1 {status}\r\n{headers}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
