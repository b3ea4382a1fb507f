"""What befalls tunnels: keys that end, engines that leave, limits, long bodies, connections
that belong to one client."""
import contextlib
import gzip
import hashlib
import json
import socket
import ssl
import threading
import zlib

import pytest

from conftest import stopped, until
from egress_stage import allow
from faults import use_engines
from lying_engine import LyingEngine
from scripted_origin import OK

CARD = "4111111111111111"


class Sink:
    """A destination that reads one chunked body and keeps counts alone."""

    def __init__(self, ca):
        pem, key = ca.leaf("sink", ["localhost", "127.0.0.1"])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem, key)
        self.sock = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
        self.port = self.sock.getsockname()[1]
        self.bytes = self.cards = 0
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        c, _ = self.sock.accept()
        with c, c.makefile("rb") as f:
            while f.readline() not in (b"\r\n", b""):
                pass
            tail = b""
            while n := int(f.readline(), 16):
                data = f.read(n)
                assert f.read(2) == b"\r\n"
                self.bytes += n
                self.cards += (tail + data).count(CARD.encode())
                tail = data[-len(CARD) + 1:]
            f.readline()
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


@pytest.fixture
def origin_sink(ca):
    s = Sink(ca)
    yield s
    s.sock.close()


def to(origin):
    return f"localhost:{origin.port}"


# ---- keys -------------------------------------------------------------------------

@pytest.mark.parametrize("where", ["connect", "inside"])
def test_a_key_is_revoked_in_mid_tunnel(egress, origin, where):
    app, key = egress.app()
    second = json.loads(egress.ctl("key", "create", app, "--json").stdout)
    options = {"key": second["secret"]} if where == "connect" else {"inner_key": second["secret"]}
    with egress.tunnel(to(origin), **options) as t:
        assert t.request("POST", "/x", b"{}").status == 200
        egress.ctl("key", "revoke", app, second["key"])
        token = egress.token(CARD)
        until("the key is dead in this tunnel",
              lambda: t.request("GET", "/x").status == 401)
        seen = len(origin.seen())
        assert t.request("POST", "/x", token.encode()).code == "unauthorized"
        assert len(origin.seen()) == seen
    with egress.tunnel(to(origin), key=key) as t:
        assert t.request("POST", "/x", b"{}").status == 200


def test_scopes(egress, origin):
    app = egress.app()[0]
    for scopes, status in (("egress", 200), ("relay", 407), ("egress,relay", 200)):
        key = json.loads(egress.ctl("key", "create", app, *sum(
            (["--scope", s] for s in scopes.split(",")), []),
                                    "--json").stdout)["secret"]
        with egress.tunnel(to(origin), key=key) as t:
            assert t.answer.status == status, scopes


def test_too_many_wrong_keys_from_one_address(make_egress, origin):
    stack = make_egress(conf="auth_failures_per_minute = 5\n", workers=1)
    codes = []
    for _ in range(8):
        with stack.tunnel(to(origin), key="wrong") as t:
            codes.append(t.answer.status)
    assert codes == [407] * 5 + [429] * 3
    # A good key that nobody has seen yet could be a guess.
    with stack.tunnel(to(origin), key=stack.app()[1]) as t:
        assert (t.answer.status, t.answer.code) == (429, "rate-limited")
        assert t.answer.field("retry-after")


def status_of(stack, origin, key, **options):
    with stack.tunnel(to(origin), key=key, connect_only=True, **options) as t:
        return t.answer.status


def until_refused(stack, origin):
    """The address is over its limit."""
    until("no more guesses", lambda: status_of(stack, origin, "wrong") == 429)


def test_a_good_key_is_not_locked_out_by_a_bad_client_of_its_address(make_egress, origin):
    stack = make_egress(conf="auth_failures_per_minute = 3\n", workers=1)
    app, good = stack.app()
    seen = json.loads(stack.ctl("key", "create", app, "--json").stdout)
    unseen = json.loads(stack.ctl("key", "create", app, "--json").stdout)["secret"]
    other = stack.app("other")[0]
    with stack.tunnel(to(origin), key=good) as t:
        assert t.request("GET", "/").status == 200
        assert status_of(stack, origin, seen["secret"]) == 200
        for i in range(100):
            assert status_of(stack, origin, f"wrong{i}") in (407, 429)
            if i % 10 == 0:
                assert status_of(stack, origin, good) == 200
        until_refused(stack, origin)
        assert t.request("GET", "/").status == 200
    with stack.tunnel(to(origin), inner_key=good) as t:
        assert t.request("GET", "/").status == 200
    assert status_of(stack, origin, unseen) == 429
    until_refused(stack, origin)
    # It is good as what it was: to try apps with it is a guess.
    assert status_of(stack, origin, good, user=app) == 200
    assert status_of(stack, origin, good, user=other) == 429
    # A revoked one fails once, and has no more credit than any other.
    with stack.tunnel(to(origin), key=seen["secret"]) as t:
        assert t.request("GET", "/").status == 200
        stack.ctl("key", "revoke", app, seen["key"])
        codes = [200]
        until("it is refused", lambda: codes.append(
            status_of(stack, origin, seen["secret"])) or codes[-1] == 429)
        assert codes == [200] * codes.count(200) + [407] * codes.count(407) + [429]
        assert codes.count(407) in (1, 2), "with what the minute gave back"
        until_refused(stack, origin)
        assert [status_of(stack, origin, seen["secret"]) for _ in range(10)] == [429] * 10
        until("the tunnel cannot hammer", lambda: t.request("GET", "/").status in (401, 429))
    assert status_of(stack, origin, good) == 200


def test_leaves_for_strangers_have_a_quota(make_egress, origin):
    stack = make_egress(conf="leaf_quota_per_minute = 3\n", workers=1)
    for i in range(3):
        with stack.tunnel(f"h{i}.example.com:443", connect_only=True) as t:
            assert t.answer.status == 200
    with stack.tunnel("h3.example.com:443", connect_only=True) as t:
        assert (t.answer.status, t.answer.code) == (429, "rate-limited")
    with stack.tunnel("h1.example.com:443", connect_only=True) as t:    # is there already
        assert t.answer.status == 200
    with stack.tunnel("h3.example.com:443", key=stack.app()[1], connect_only=True) as t:
        assert t.answer.status == 200


def test_a_full_leaf_cache_forgets_the_oldest(make_egress, origin):
    stack = make_egress(conf="leaf_cache_size = 4\nleaf_quota_per_minute = 0\n", workers=1)
    key = stack.app()[1]
    for i in range(8):
        with stack.tunnel(f"h{i}.example.com:443", key=key, connect_only=True) as t:
            assert t.answer.status == 200
    for i, status in ((7, 200), (4, 200), (0, 429)):
        with stack.tunnel(f"h{i}.example.com:443", connect_only=True) as t:
            assert t.answer.status == status, i


def test_without_an_egress_ca(make_egress, origin):
    stack = make_egress(egress_ca=False)
    with stack.tunnel(to(origin), key=stack.app()[1]) as t:
        assert (t.answer.status, t.answer.code) == (503, "not-ready")


# ---- engines ----------------------------------------------------------------------

def test_no_engine(egress, origin):
    key = egress.app()[1]
    with egress.tunnel(to(origin), key=key) as t:
        assert t.request("POST", "/x", b"{}").status == 200
        token = egress.token(CARD)
        before = len(origin.seen())
        with stopped(egress.child("e3d")):
            reply = t.request("POST", "/x", token.encode())
            assert (reply.status, reply.code) == (503, "engine-unavailable")
        assert len(origin.seen()) == before
    until("it serves again", lambda: served(egress, origin, key))


def served(stack, origin, key):
    with stack.tunnel(to(origin), key=key) as t:
        return t.answer.status == 200 and t.request("GET", "/").status == 200


def test_the_engine_leaves_in_mid_stream(egress, origin):
    """What the destination has cannot be taken for all of it."""
    token = egress.token(CARD)
    piece = json.dumps([token, "x" * 1000]).encode() + b"\n"
    with egress.tunnel(to(origin), key=egress.app()[1]) as t:
        t.send(t.head("POST", "/x", [("Transfer-Encoding", "chunked"),
                                     ("Content-Type", "application/x-ndjson")]))
        for _ in range(600):
            t.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        until("the origin has some", lambda: origin_got_something(origin))
        with stopped(egress.child("e3d")):
            for _ in range(600):
                t.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            reply = t.reply("POST")
            assert (reply.status, reply.code) == (503, "engine-unavailable")
    until("the origin saw it cut", lambda: b"=== partial" in origin.raw_log())
    assert origin.seen() == []
    assert b"ev:" not in origin.raw_log().split(b"=== partial")[1].replace(b"x-evervault", b"")


def origin_got_something(origin):
    """The origin logs whole requests: its socket says more."""
    import subprocess
    out = subprocess.run(["ss", "-tniH", f"sport = :{origin.port}"], capture_output=True,
                         text=True, check=False, timeout=20).stdout
    return any(int(w.split(":")[1]) > 200_000 for w in out.split() if
               w.startswith("bytes_received:"))


def test_the_destination_leaves_while_a_piece_is_opened(egress, scripted):
    """What was opened meanwhile waits for the next connection."""
    liar, told = LyingEngine(egress), []

    def script(c):
        if c.number == 1:
            until("a piece is with the engine", lambda: liar.held == 1)
            return
        c.head()
        c.body = b""
        while n := int(c.line(), 16):
            c.body += c.take(n + 2)[:-2]
        c.line()
        told.append(c.body)
        c.send(OK)

    origin = scripted(script)
    serve = origin.serve

    def late(plain, number):
        """The second handshake begins when the engine has answered."""
        if number == 2:
            liar.holding.clear()
            until("the engine has answered", lambda: liar.told != 0)
        serve(plain, number)

    origin.serve = late
    liar.op, liar.lie = "Decrypt", lambda answer: answer.but()
    use_engines(egress, liar.address)
    token = egress.token(CARD)
    piece = json.dumps([token, "x" * 1000]).encode() + b"\n"
    try:
        with egress.tunnel(to(origin), key=egress.app()[1]) as t:
            liar.holding.set()
            t.send(t.head("POST", "/x", [("Transfer-Encoding", "chunked"),
                                         ("Content-Type", "application/x-ndjson")]))
            for _ in range(300):
                t.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            t.send(b"0\r\n\r\n")
            assert t.reply("POST").status == 200
    finally:
        liar.close()
    assert told == [piece.replace(token.encode(), CARD.encode()) * 300]
    assert origin.connections == 2


def test_policy_forbids(egress, origin):
    app, key = egress.app()
    egress.ctl("role", "put", app, "pci", data=json.dumps({"default": "permit", "rules": [
        {"effect": "forbid", "place": "egress"}]}).encode())
    from rpc_client import connect
    with connect(egress) as link:
        sealed = link.call("Encrypt", {"app": app, "curve": "r1", "keyScope": "request",
                                       "existing": "encrypt", "fields": [[0, CARD.encode(), "pci"]]})
    token = bytes(sealed[0][1]).decode()
    with egress.tunnel(to(origin), key=key) as t:
        reply = t.request("POST", "/x", json.dumps([token]).encode())
        assert (reply.status, reply.code) == (403, "decrypt/forbidden")
    assert origin.seen() == []


# ---- bodies -----------------------------------------------------------------------

CODINGS = {"gzip": gzip.compress, "deflate": zlib.compress}


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [10, 3_000_000])
@pytest.mark.parametrize("again", [False, True])
def test_coded_bodies(make_egress, origin, coding, size, again):
    stack = make_egress(conf="reencode_bodies = true\n" if again else "")
    tokens = stack.tokens([CARD, "other"])
    filler = "".join(hashlib.sha256(str(i).encode()).hexdigest() for i in range(size // 64 + 1))
    text = json.dumps([tokens[0], filler, tokens[1]]).encode()
    want = json.dumps([CARD, filler, "other"]).encode()
    plain = json.dumps(["nothing to open"]).encode()
    with stack.tunnel(to(origin), key=stack.app()[1]) as t:
        for sent, got in ((text, want), (plain, plain)):
            coded = CODINGS[coding](sent)
            assert t.request("POST", "/x", coded, fields=[
                ("Content-Encoding", coding), ("Content-MD5", "abc==")]).status == 200
            seen = origin.last()
            body = seen.body
            if b"transfer-encoding" in seen.head.lower():
                from egress_stage import dechunk
                body = dechunk(body)
            if b"content-encoding: " + coding.encode() in seen.head.lower():
                assert again or sent is plain
                assert (b"Content-MD5: abc==" in seen.head) == (sent is plain)
                assert sent is not plain or body == coded
                body = gzip.decompress(body) if coding == "gzip" else zlib.decompress(body)
            else:
                assert not again and sent is text
            assert body == got


def test_a_coded_body_without_tokens_keeps_its_fields_in_order(egress, origin):
    body = gzip.compress(b"nothing to open")
    fields = [("Content-MD5", "abc=="), ("X-One", "1"), ("Content-Encoding", "gzip"),
              ("X-Two", "2"), ("Digest", "sha-256=x"), ("X-Three", "3")]
    with egress.tunnel(to(origin), key=egress.app()[1]) as t:
        assert t.request("POST", "/x", body, fields=fields).status == 200
        names = [n.lower().encode() for n, _ in fields]
        seen = [line.split(b":")[0].lower() for line in origin.last().head.split(b"\r\n")[1:]]
        assert [n for n in seen if n in names] == names
        assert seen.index(b"content-length") > seen.index(b"x-three")
        assert origin.last().body == body
        # What holds for the coded body alone goes when a token was in it.
        coded = gzip.compress(egress.token(CARD).encode())
        assert t.request("POST", "/x", coded, fields=fields).status == 200
    seen = [line.split(b":")[0].lower() for line in origin.last().head.split(b"\r\n")[1:]]
    assert [n for n in seen if n in names] == [b"x-one", b"x-two", b"x-three"]
    assert origin.last().body == CARD.encode()


def test_bombs_and_broken_codings(egress, origin):
    bomb = gzip.compress(b"0" * 50_000_000)
    for body, code in ((bomb, "payload-too-large"), (b"no gzip at all", "malformed-body"),
                       (gzip.compress(b"x" * 1000)[:-4], "malformed-body")):
        with egress.tunnel(to(origin), key=egress.app()[1]) as t:
            reply = t.request("POST", "/x", body, fields=[("Content-Encoding", "gzip")])
            assert reply.code == code
    with egress.tunnel(to(origin), key=egress.app()[1]) as t:       # cannot be read: sealed
        token = egress.token(CARD).encode()
        assert t.request("POST", "/x", token, fields=[("Content-Encoding", "aes128gcm")]
                         ).status == 200
    assert origin.last().body == token


def test_a_gibibyte_in_flat_memory(make_egress, origin_sink):
    stack, sink = make_egress(workers=1), origin_sink
    token = stack.token(CARD)
    piece = (json.dumps([token, "x" * 65_000]) + "\n").encode()
    n = (1 << 30) // len(piece)
    pid = stack.child("worker1")
    with stack.tunnel(f"localhost:{sink.port}", key=stack.app()[1], timeout=300) as t:
        t.send(t.head("POST", "/x", [("Content-Length", str(n * len(piece))),
                                     ("Content-Type", "application/x-ndjson")]))
        before = resident(pid)
        for i in range(n):
            t.send(piece)
            if i == n // 4:
                quarter = resident(pid)
        assert t.reply("POST").status == 200
        after = resident(pid)
    opened = n * len(piece.replace(token.encode(), CARD.encode()))
    assert sink.bytes == opened
    assert sink.cards == n
    # Sanitizers keep what was freed, up to a limit that is near at a quarter.
    assert after - quarter < 64 << 20, (before, quarter, after)


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * 4096


# ---- answers ----------------------------------------------------------------------

def test_answers_are_sealed_as_the_record_says(egress, origin):
    app, key = egress.app()
    allow(egress, {"responses": [{"method": "POST", "path": "/pay/**", "response": [
        {"action": "encrypt", "selections": [{"selector": "$..*"}]}]}]})
    body = json.dumps({"card": CARD, "n": 5, "deep": {"x": [True, None]}}).encode()
    with egress.tunnel(to(origin), key=key) as t:
        reply = t.request("POST", "/pay/1", body)
        assert reply.status == 200 and CARD.encode() not in reply.body
        sealed = reply.json()
        assert sealed["card"].startswith("ev:QkTC:")
        assert sealed["n"].startswith("ev:QkTC:number:")
        assert sealed["deep"]["x"][0].startswith("ev:QkTC:boolean:")
        assert sealed["deep"]["x"][1] is None
        # And it opens on its way out again.
        assert json.loads(t.request("POST", "/pay/1", reply.body) and origin.last().body) == \
            json.loads(body)
        assert t.request("POST", "/other", body).body == body


def test_any_answer_passes(egress, origin):
    with egress.tunnel(to(origin), key=egress.app()[1]) as t:
        for path, size in (("/bytes/100000", 100000), ("/chunked/100000", 100000),
                           ("/status/404", None), ("/encoding/gzip", None)):
            reply = t.request("GET", path)
            assert reply.status == (404 if "404" in path else 200)
            if size:
                assert len(reply.body) == size
        assert gzip.decompress(reply.body)
    with egress.tunnel(to(origin), key=egress.app()[1]) as t:
        assert t.request("GET", "/until-close").status == 200
    with egress.tunnel(to(origin), key=egress.app()[1]) as t:
        assert t.request("GET", "/close").code == "upstream-protocol-error"


# ---- connections that belong to one client ----------------------------------------

def say_number(c):
    """Each answer is the number of its connection."""
    with contextlib.suppress(EOFError):
        while c.request():
            body = str(c.number).encode()
            c.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


def test_origin_connections_are_shared_by_tunnels_of_one_app(make_egress, scripted):
    stack, origin = make_egress(workers=1), scripted(say_number)
    first = tunnel_get(stack, origin)
    assert tunnel_get(stack, origin) == first
    assert tunnel_get(stack, origin, app="other") != first


def tunnel_get(stack, origin, app="app", fields=()):
    with stack.tunnel(to(origin), key=stack.app(app)[1]) as t:
        return t.request("GET", "/", fields=fields).body


def test_ntlm_stays_with_its_tunnel(make_egress, scripted):
    egress = make_egress(workers=1)
    origin = scripted(say_number)
    with egress.tunnel(to(origin), key=egress.app()[1]) as t:
        ntlm = [("Authorization", "NTLM TlRMTVNTUAAB")]
        first = t.request("GET", "/", fields=ntlm).body
        assert t.request("GET", "/", fields=ntlm).body == first     # three legs, one connection
        assert t.request("GET", "/").body == first
        assert tunnel_get(egress, origin) != first
    assert tunnel_get(egress, origin) != first


