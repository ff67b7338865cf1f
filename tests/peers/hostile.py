"""Requests that two parsers may read differently: a table of all known kinds, and a generator. Knows no
gateway and no server.

Every case has names of its own: a tool that policy permits, `read-N`, and one that it does not, `delete-N`.
Whatever else a case says, a server can execute nothing but by a name that it finds in there.
"""

from __future__ import annotations

import base64
import gzip
import json
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

MODERN = "2026-07-28"

FIRST_ID = 10_000

Pairs = list[tuple[str, str]]
"""Members of an object: key and value, each as it is written."""


Frame = Callable[[bytes, Callable[[bytes], bytes]], tuple[Pairs, bytes]]
"""Makes headers and bytes of a body; the second one fills in what only the sender knows."""

HOST, BEARER, PREFIX = b"HOST", b"BEARER", b"PREFIX"
"""What the sender fills in."""


@dataclass(frozen=True)
class Case:
    """One request."""

    number: int
    kind: str
    """What is hostile about it."""
    body: bytes
    headers: Pairs = field(default_factory=list)
    """Beside those that every request has; one with the same name replaces those."""
    line: str = "POST /mcp HTTP/1.1"
    frame: Frame | None = None
    """How the body is framed, if not by its length."""
    only_http: bool = False
    """Whether it is hostile over HTTP only."""



@dataclass(frozen=True)
class Names:
    """What one case may call."""

    number: int

    @property
    def good(self) -> str:
        """A tool that policy permits."""
        return f"read-{self.number}"

    @property
    def bad(self) -> str:
        """One that it does not."""
        return f"delete-{self.number}"


def text(value: object) -> str:
    """As JSON."""
    return json.dumps(value, ensure_ascii=False)


def obj(pairs: Pairs) -> str:
    """An object of members as they are written."""
    return "{" + ",".join(f"{key}:{value}" for key, value in pairs) + "}"


def meta() -> str:
    """What a request of the stateless revision says of itself."""
    prefix = "io.modelcontextprotocol/"
    return text(
        {
            f"{prefix}protocolVersion": MODERN,
            f"{prefix}clientInfo": {"name": "peer", "version": "1"},
            f"{prefix}clientCapabilities": {},
        }
    )


def params(name: str, *, modern: bool) -> Pairs:
    """Those of a call; `name` as it is written."""
    pairs = [('"name"', name), ('"arguments"', '{"a":1}')]
    return [*pairs, ('"_meta"', meta())] if modern else pairs


def envelope(inside: str, identity: str = "1") -> Pairs:
    """A call with these parameters."""
    return [
        ('"jsonrpc"', '"2.0"'),
        ('"id"', identity),
        ('"method"', '"tools/call"'),
        ('"params"', inside),
    ]


def call(name: str, *, modern: bool = False, identity: str = "1") -> str:
    """A call as anybody would write it."""
    return obj(envelope(obj(params(text(name), modern=modern)), identity))


def modern_headers(name: str) -> Pairs:
    """What must be said in headers too."""
    return [("MCP-Protocol-Version", MODERN), ("Mcp-Method", "tools/call"), ("Mcp-Name", name)]


# --- the table -----------------------------------------------------------------------------------

Body = tuple[str, str | bytes]
"""What is hostile, and the body."""


def spellings(key: str) -> list[str]:
    """A key, and what some parser takes for the same key; as JSON."""
    first = key[0]
    cyrillic = key.translate({97: 0x430, 101: 0x435, 105: 0x456})
    wide = "".join(chr(ord(character) + 0xFEE0) for character in key)
    return [
        f'"{key}"',
        f'"\\u{ord(first):04x}{key[1:]}"',
        f'"{key[:-1]}\\u{ord(key[-1]):04X}"',
        f'"{key.upper()}"',
        f'"{key.capitalize()}"',
        f'"{key} "',
        f'" {key}"',
        f'"{key}\\u0000"',
        f'"\\ufeff{key}"',
        f'"{key}\u200b"',
        f'"{cyrillic}"',
        f'"{wide}"',
        f'"{key}\\ud800"',
        f"'{key}'",
        key,
    ]


def twins(names: Names, modern: bool) -> Iterator[Body]:
    """A key twice, in all spellings, at each level, in both orders."""
    good, bad = (params(text(name), modern=modern) for name in (names.good, names.bad))
    other = {
        '"jsonrpc"': '"1.0"',
        '"id"': "2",
        '"method"': '"ping"',
        '"params"': obj(bad),
        '"name"': text(names.bad),
        '"arguments"': '{"a":2}',
        '"_meta"': "{}",
    }
    for key, value in other.items():
        for spelled in spellings(key.strip('"')):
            for before in (False, True):
                kind = f"twin of {key} as {spelled}{' before' if before else ''}"
                yield kind, twin(good, key, (spelled, value), before)
    yield "other method after", twin(good, '"method"', ('"method"', '"resources/read"'), False)
    hidden = [('"a"', "1"), ('"a"', "2")]
    yield "twins in arguments", obj(envelope(obj([good[0], ('"arguments"', obj(hidden)), *good[2:]])))


def twin(inside: Pairs, key: str, added: tuple[str, str], before: bool) -> str:
    """A call with a member more, beside the one with this key."""

    def grown(pairs: Pairs) -> Pairs:
        return [added, *pairs] if before else [*pairs, added]

    if any(name == key for name, _ in inside):
        return obj(envelope(obj(grown(inside))))
    return obj(grown(envelope(obj(inside))))


def named(names: Names, modern: bool) -> Iterator[Body]:
    """Tools whose names are like others."""
    good, bad = names.good, names.bad
    wide = "".join(chr(ord(character) + 0xFEE0) for character in bad)
    written = [
        *(text(name) for name in (bad, f"{good} ", f" {good}", good.upper(), f"{good}\u0000{bad}")),
        *(text(name) for name in (f"{bad}\u0000", f" {bad}", f"{bad} ", f"\ufeff{bad}", f"{bad}\n")),
        *(text(name) for name in (f"{bad}\u200b", f"{good}\u202e", f"{good}/../{bad}", f"{good},{bad}")),
        f'"\\u0064{bad[1:]}"',
        f'"{bad[0]}\\u0065{bad[2:]}"',
        f'"{good}\\ud800"',
        f'"\\udc00{bad}"',
        f'"{wide}"',
        f'"\u0501{bad[1:]}"',
        f'"{bad}\t"',
        *("1", "1.0", "null", "true", "[]", "{}", '""'),
        f"[{text(bad)}]",
        f'{{"name":{text(bad)}}}',
        f'{{"toString":{text(bad)}}}',
        f"'{bad}'",
        bad,
    ]
    for name in written:
        yield f"name {name}", obj(envelope(obj(params(name, modern=modern))))


def methods(names: Names, modern: bool) -> Iterator[Body]:
    """Methods that are like `tools/call`, and messages that are two things at once."""
    inside = obj(params(text(names.bad), modern=modern))
    whole = envelope(inside)
    for method in (
        *("tools/call ", " tools/call", "TOOLS/CALL", "tools\\/call", "tools\\u002fcall"),
        *("tools//call", "tools/call\\u0000", "tools/call\\n", "notifications/tools/call", ""),
        *("tools.call", "tools/ｃall", "tools/call?x", "ping\\u0000tools/call"),
    ):
        yield f"method {method}", obj([*whole[:2], ('"method"', f'"{method}"'), whole[3]])
    for method in ("null", "1", '["tools/call"]', '{"a":"tools/call"}', "true"):
        yield f"method {method}", obj([*whole[:2], ('"method"', method), whole[3]])
    for added in ('"result":{}', '"error":{"code":1,"message":"m"}', '"result":null', '"error":null'):
        yield f"method and {added}", obj(whole)[:-1] + f",{added}}}"
    for version in ("2.0", "2", "null", '"2"', '"2.00"', '"2.0 "', '"\\u0032.0"', "[]"):
        yield f"jsonrpc {version}", obj([('"jsonrpc"', version), *whole[1:]])
    for left_out in range(4):
        pairs = [pair for at, pair in enumerate(whole) if at != left_out]
        yield f"without {whole[left_out][0]}", obj(pairs)


def identities(names: Names, modern: bool) -> Iterator[Body]:
    """Ids of all forms."""
    inside = obj(params(text(names.good), modern=modern))
    for identity in (
        *("null", "1.0", "1.5", "-0", "0", "1e0", "1E400", "true", "false", "{}", "[]", "[1]", '""'),
        *('"1"', '"\\u0031"', '"\\ud800"', "9007199254740993", "-1", "01", "+1", "0x1", "NaN"),
        *("1" * 25, "1" * 400, '"' + "i" * 3_000 + '"', "1.0e0", ".5", "1.", "Infinity"),
    ):
        yield f"id {identity[:20]}", obj(envelope(inside, identity))


def shapes(names: Names, modern: bool) -> Iterator[Body]:
    """Parameters of other shapes, prototypes, and what is hidden in unknown places."""
    good, bad = text(names.good), text(names.bad)
    more = f',"_meta":{meta()}' if modern else ""
    for inside in (
        f'[{{"name":{bad}}}]',
        f"[{bad},{{}}]",
        "null",
        "[]",
        bad,
        f'"{{\\"name\\":\\"{names.bad}\\"}}"',
        f'{{"params":{{"name":{bad}}}{more}}}',
        f'{{"name":{good},"arguments":[1]{more}}}',
        f'{{"name":{good},"arguments":null{more}}}',
        f'{{"name":{good},"arguments":"{{}}"{more}}}',
        f'{{"name":{good},"arguments":1{more}}}',
        f'{{"__proto__":{{"name":{bad}}}{more}}}',
        f'{{"name":{good},"__proto__":{{"name":{bad},"arguments":{{}}}}{more}}}',
        f'{{"constructor":{{"prototype":{{"name":{bad}}}}}{more}}}',
        f'{{"name":{good},"arguments":{{"__proto__":{{"name":{bad}}},"constructor":1}}{more}}}',
        f'{{"name":{good},"tool":{bad},"toolName":{bad},"tool_name":{bad},"uri":{bad}{more}}}',
        f'{{"arguments":{{"name":{bad}}}{more}}}',
        f'{{"name":{good},"task":{{"name":{bad},"ttl":1}}{more}}}',
        f'{{"name":{good},"_meta":{{"name":{bad},"method":"tools/call","progressToken":{bad}}}}}',
        f'{{"name":{good},"inputResponses":{{"name":{bad}}},"requestState":{bad}{more}}}',
    ):
        yield f"params {inside[:40]}", obj(envelope(inside))
    whole = envelope(f'{{"name":{good}{more}}}')
    forged = obj([('"method"', '"tools/call"'), ('"params"', f'{{"name":{bad}}}')])
    for key in ("__proto__", "constructor", "request", "message", "0"):
        yield f"a call in {key}", obj([*whole, (f'"{key}"', forged)])
        yield f"only a call in {key}", obj([whole[0], whole[1], (f'"{key}"', forged)])


def numbers(names: Names, modern: bool) -> Iterator[Body]:
    """Arguments that not every parser can hold."""
    for value in (
        *("9007199254740993", "1e400", "-1e400", "-0", "1.0", "1E+2", "1" * 5_000, "0." + "1" * 5_000),
        *("1e-400", "NaN", "-Infinity", "Infinity", "0x10", "00", "+1", "1_000", ".1", "1.", "1e"),
        *('"\\ud83d"', '"\\ude00\\ud83d"', '"\\x41"', '"\\u00"', '"\x01"', '"\t"', '"\\\n"', "undefined"),
        *("[" * depth + "]" * depth for depth in (60, 130, 1_000, 100_000)),
        *('{"a":' * depth + "1" + "}" * depth for depth in (60, 130, 1_000, 10_000)),
        *("/**/1", "1/**/", "1//\n", "1#\n", "[1,]", "[,1]", "{,}", '{"a":1,}', "{a:1}", "{'a':1}", "[1 2]"),
    ):
        inside = params(text(names.good), modern=modern)
        inside[1] = ('"arguments"', f'{{"v":{value}}}')
        yield f"value {value[:20]!r}", obj(envelope(obj(inside)))


def batches(names: Names, modern: bool) -> Iterator[Body]:
    """Several messages in one body."""
    good, bad = (call(name, modern=modern) for name in (names.good, names.bad))
    second = call(names.bad, modern=modern, identity="2")
    reply = '{"jsonrpc":"2.0","id":1,"result":{}}'
    for body in (
        f"[{good}]",
        f"[{bad}]",
        f"[{good},{second}]",
        f"[{second},{good}]",
        f"[[{bad}]]",
        f"[{good},[{second}]]",
        "[]",
        f"[{good},1]",
        f"[null,{bad}]",
        f"[{reply},{bad}]",
        f"[{good},{good}]",
        f'{{"0":{bad},"length":1}}',
        f"[{good},]",
    ):
        yield f"batch {body[:24]}", body
    for between in ("", " ", "\n", "\r\n", "\r", "\n\n", ",", "\x00", "\x1e", "\u2028", "\u0085", "\x0b", "\x0c"):
        yield f"two messages, {between!r} between", f"{good}{between}{second}"


def around(names: Names, modern: bool) -> Iterator[Body]:
    """What stands around and between tokens."""
    good, bad = (call(name, modern=modern) for name in (names.good, names.bad))
    for blank in (*"\n\r\t\x0b\x0c\x00\x1e\u00a0\u2028\u0085\ufeff", "\r\n", "/**/", "#\n", "//\n", ")]}',\n"):
        yield f"{blank!r} before", blank + good
        yield f"{blank!r} after", good + blank
        yield f"{blank!r} before a forbidden one", blank + bad
        # A message of its own to whoever ends lines here.
        inside = params(text(names.good), modern=modern)
        inside[1] = ('"arguments"', f'{{"v":{blank}{bad}{blank}}}')
        yield f"a message between {blank!r}", obj(envelope(obj(inside)))
        quoted = text(bad)[1:-1]
        inside[1] = ('"arguments"', f'{{"v":"{blank}{quoted}{blank}"}}')
        yield f"a quoted message between {blank!r}", obj(envelope(obj(inside)))


def encodings(names: Names, modern: bool) -> Iterator[Body]:
    """Bytes that are text in one encoding only."""
    good, bad = (call(name, modern=modern) for name in (names.good, names.bad))
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "utf-8-sig", "utf-7"):
        yield f"in {encoding}", good.encode(encoding)
        yield f"a forbidden one in {encoding}", bad.encode(encoding)
    plain = bad.encode()
    for old, new in (
        (b"tools/call", b"tools\xc0\xafcall"),
        (b'"delete', b'"\xc1\xa4elete'),
        (b'"delete', b"\xc0\xa2delete"),
        (b"delete", b"\xe2\x80delete"),
        (b"delete", b"\xffdelete"),
        (b"delete", b"\xed\xa0\x80delete"),
        (b"delete", b"\xf4\x90\x80\x80delete"),
        (b'"name"', b'"n\xc3ame"'),
        (b'"name"', b'"\xf0name"'),
        (b"delete", b"d\xe8lete"),
    ):
        yield f"{new!r}", plain.replace(old, new, 1)
        yield f"{new!r} permitted", good.encode().replace(old.replace(b"delete", b"read"), new, 1)


TABLE = [twins, named, methods, identities, shapes, numbers, batches, around, encodings]
"""Everything about bodies."""


def chunked(body: bytes, _: object) -> tuple[Pairs, bytes]:
    """In chunks, one with an extension, and a trailer that would be a header."""
    middle = len(body) // 2
    pieces = (
        b"%x;a=1\r\n%s\r\n" % (middle, body[:middle]),
        b"%x\r\n%s\r\n" % (len(body) - middle, body[middle:]),
    )
    return [("Transfer-Encoding", "chunked")], b"".join(pieces) + b"0\r\nMcp-Name: x\r\n\r\n"


def heads(names: Names) -> Iterator[tuple[str, dict[str, object]]]:
    """What is hostile in the head of a request, or in how its body is framed."""
    good, bad = names.good, names.bad
    legacy, forbidden, modern = call(good).encode(), call(bad).encode(), call(good, modern=True).encode()
    worse = call(bad, modern=True).encode()
    base = modern_headers(good)
    for said in (
        [*base[:2], ("Mcp-Name", bad)],
        [*base, ("Mcp-Name", bad)],
        [("Mcp-Name", bad), *base],
        [*base[:2], ("Mcp-Name", f"{good}, {bad}")],
        [*base[:2], ("Mcp-Name", f"=?base64?{base64.b64encode(bad.encode()).decode()}?=")],
        [*base[:2], ("Mcp-Name", f"=?base64?{base64.b64encode(good.encode()).decode()}?=")],
        [base[0], ("Mcp-Method", "ping"), base[2]],
        [base[0], ("Mcp-Method", "TOOLS/CALL"), base[2]],
        [base[0], base[2]],
        base[:2],
        base[1:],
        [("MCP-Protocol-Version", "2025-11-25"), *base[1:]],
        [*base, ("MCP-Protocol-Version", "2025-11-25")],
        [("MCP-Protocol-Version", f"2025-11-25, {MODERN}"), *base[1:]],
        [*base, ("Mcp-Param-A", "2")],
        [*base, ("Mcp_Name", bad)],
        [*base, ("Mcp-Session-Id", "x")],
    ):
        yield f"headers {said[-1]}", {"body": modern, "headers": said}
        yield f"headers {said[-1]} of a forbidden call", {"body": worse, "headers": said}
        yield f"headers {said[-1]} of an older call", {"body": legacy, "headers": said}
        yield f"headers {said[-1]} of an older forbidden call", {"body": forbidden, "headers": said}
    for version in ("2024-11-05", "2025-03-26", "2099-01-01", "", "x", "\u00e9", "2025-11-25 "):
        yield f"revision {version!r}", {"body": legacy, "headers": [("MCP-Protocol-Version", version)]}
    yield from media(forbidden, legacy)
    yield from framed(names, forbidden, legacy)


def media(bad: bytes, good: bytes) -> Iterator[tuple[str, dict[str, object]]]:
    """Bodies that are said to be something else, or packed."""
    for said in (
        *("text/plain", "application/json-rpc", "application/vnd.a+json", "application/json, text/plain"),
        *("text/plain, application/json", "application/json; charset=utf-8; charset=utf-16", ""),
        *("application/json; charset=latin1", 'application/json; charset="utf-8"', "APPLICATION/JSON"),
        *("application/json;;", "application/json; a=\"charset=utf-16\"", "multipart/form-data; boundary=a"),
        "application/x-www-form-urlencoded",
    ):
        yield f"type {said!r}", {"body": bad, "headers": [("Content-Type", said)]}
        yield f"type {said!r} permitted", {"body": good, "headers": [("Content-Type", said)]}
    types = [("Content-Type", "application/json"), ("Content-Type", "application/json; charset=utf-16")]
    yield "two types", {"body": bad, "headers": types}
    yield "two types, the other way", {"body": bad, "headers": types[::-1]}
    for charset in ("utf-16", "utf-16le", "utf-16be", "utf-32", "utf-7"):
        said = [("Content-Type", f"application/json; charset={charset}")]
        yield f"charset {charset}", {"body": bad.decode().encode(charset), "headers": said}
        yield f"charset {charset} of UTF-8", {"body": good, "headers": said}
    raw = zlib.compressobj(wbits=-15)
    packed = {
        "gzip": gzip.compress(bad),
        "deflate": zlib.compress(bad),
        "x-gzip": gzip.compress(bad),
        "GZIP": gzip.compress(bad),
        "identity": bad,
        "identity, gzip": gzip.compress(bad),
        "gzip, identity": gzip.compress(bad),
        "": bad,
        "deflate ": raw.compress(bad) + raw.flush(),
    }
    for coding, body in packed.items():
        yield f"coding {coding!r}", {"body": body, "headers": [("Content-Encoding", coding)]}
    two = [("Content-Encoding", "identity"), ("Content-Encoding", "gzip")]
    yield "two codings", {"body": gzip.compress(bad), "headers": two}


def framed(names: Names, bad: bytes, good: bytes) -> Iterator[tuple[str, dict[str, object]]]:
    """Requests that end in different places for different readers, and requests in disguise."""
    hidden = b"POST %s/mcp HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n" % (PREFIX, HOST)
    hidden += b"Accept: application/json, text/event-stream\r\nAuthorization: Bearer %s\r\n" % BEARER
    hidden += b"Content-Length: %d\r\n\r\n%s" % (len(bad), bad)
    ended = b"%x\r\n%s\r\n0\r\n\r\n" % (len(good), good)

    def framing(first: str, second: str, body: bytes) -> Frame:
        def frame(_: bytes, fill: Callable[[bytes], bytes]) -> tuple[Pairs, bytes]:
            whole = fill(body)
            known = {
                "length": ("Content-Length", str(len(whole))),
                "short": ("Content-Length", str(len(ended))),
                "zero": ("Content-Length", "0"),
                "plus": ("Content-Length", f"+{len(whole)}"),
                "chunked": ("Transfer-Encoding", "chunked"),
                "case": ("transfer-encoding", "Chunked"),
                "list": ("Transfer-Encoding", "gzip, chunked"),
                "identity": ("Transfer-Encoding", "identity"),
                "xchunked": ("Transfer-Encoding", "xchunked"),
                "vt": ("Transfer-Encoding", "\x0bchunked"),
            }
            return [known[name] for name in (first, second) if name], whole

        return frame

    yield "chunks", {"body": good, "frame": chunked}
    yield "chunks of a forbidden call", {"body": bad, "frame": chunked}
    for first, second, body in (
        ("length", "chunked", ended + hidden),
        ("chunked", "length", ended + hidden),
        ("short", "chunked", ended + hidden),
        ("zero", "chunked", ended + hidden),
        ("zero", "", hidden),
        ("length", "zero", hidden),
        ("length", "identity", hidden),
        ("length", "xchunked", hidden),
        ("length", "vt", hidden),
        ("plus", "", bad),
        ("list", "", ended + hidden),
        ("case", "", ended + hidden),
    ):
        yield f"framed by {first} and {second}", {"body": bad, "frame": framing(first, second, body)}
    for line in (
        *("POST /mcp/ HTTP/1.1", "POST //mcp HTTP/1.1", "POST /mcp?a=1 HTTP/1.1", "POST /%6dcp HTTP/1.1"),
        *("POST /MCP HTTP/1.1", "POST /mcp HTTP/1.0", "post /mcp HTTP/1.1", "PUT /mcp HTTP/1.1"),
        *("POST /x/../mcp HTTP/1.1", "POST /mcp#a HTTP/1.1", "POST  /mcp HTTP/1.1", "GET /mcp HTTP/1.1"),
        *("DELETE /mcp HTTP/1.1", "POST http://other.example/mcp HTTP/1.1", "POST /mcp;a HTTP/1.1"),
    ):
        yield f"line {line}", {"body": bad, "line": line}
        yield f"line {line} permitted", {"body": good, "line": line}
    for name in ("X-HTTP-Method-Override", "X-Original-URL", "Expect", "Upgrade", "Host", "Connection"):
        for value in ("POST", "/mcp", "100-continue", "h2c"):
            yield f"{name}: {value}", {"body": bad, "headers": [(name, value)]}


# --- the generator -------------------------------------------------------------------------------

PIECES = [
    *('"name"', '"method"', '"params"', '"id"', '"jsonrpc"', '"arguments"', '"_meta"', '"tools/call"'),
    *('"Name"', '"n\\u0061me"', '"2.0"', ":", ",", "{", "}", "[", "]", "null", "1.0", "-0", "1e999", "\\"),
    *("\r", "\n", "\t", " ", "\x00", "\ufeff", "\u2028", "\\u0000", "\\ud800", "/*", "*/", "//", "'", '"'),
]


def generated(names: Names, source: random.Random, modern: bool) -> str:
    """A call with a few accidents."""
    good, bad = (params(text(name), modern=modern) for name in (names.good, names.bad))
    inside = [*good, *source.sample(bad, source.randint(0, 2))]
    source.shuffle(inside)
    outside = [*envelope(obj(inside)), *source.sample(envelope(obj(bad)), source.randint(0, 2))]
    if source.random() < 0.5:
        outside = list(dict(outside).items())
    source.shuffle(outside)
    body = obj(outside)
    for _ in range(source.randint(0, 4)):
        at = source.randrange(len(body) + 1)
        match source.randrange(4):
            case 0:
                body = body[:at] + body[at + source.randint(1, 8) :]
            case 1:
                begin = source.randrange(len(body) + 1)
                body = body[:at] + body[begin : begin + source.randint(1, 40)] + body[at:]
            case _:
                body = body[:at] + source.choice(PIECES) + body[at:]
    return body


def all_cases(random_count: int, seed: int) -> list[Case]:
    """The table for both eras, and so many generated ones for each."""
    made: list[Case] = []

    def add(kind: str, body: str | bytes, **more: object) -> None:
        # What has the same id as a call that is never answered would be refused for that.
        own = f'"id":{FIRST_ID + len(made)},'
        if isinstance(body, bytes):
            whole = body
        else:
            whole = body.replace('"id":1,', own).encode("utf-8", "surrogatepass")
        made.append(Case(len(made), kind, whole, **more))  # type: ignore[arg-type]

    for make in TABLE:
        for modern in (False, True):
            for at in range(sum(1 for _ in make(Names(0), modern))):
                names = Names(len(made))
                kind, body = list(make(names, modern))[at]
                add(kind, body, headers=modern_headers(names.good) if modern else [])
    for at in range(sum(1 for _ in heads(Names(0)))):
        kind, how = list(heads(Names(len(made))))[at]
        add(kind, only_http=True, **how)  # type: ignore[arg-type]
    source = random.Random(seed)
    for at in range(random_count):
        names, modern = Names(len(made)), at % 2 == 1
        said = modern_headers(names.good) if modern else []
        add("generated", generated(names, source, modern), headers=said)
    return made
