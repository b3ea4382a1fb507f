"""Requests of every shape through a tunnel: files, fields, trailers, other protocols, early
bytes; and what happens to tunnels when a destination or a worker goes."""
import contextlib
import json
import os
import signal
import socket
import urllib.parse

import pytest

import websocket
from conftest import until
from egress_stage import dechunk

CARD = "4111111111111111"


def to(origin):
    return f"localhost:{origin.port}"


def sealed_file(stack, contents):
    from rpc_client import connect
    with connect(stack) as link:
        return bytes(link.call("Encrypt", {
            "app": stack.app()[0], "curve": "r1", "keyScope": "request", "existing": "encrypt",
            "fields": [[3, contents]]})[0][1])


# ---- files ------------------------------------------------------------------------

@pytest.mark.parametrize("size", [0, 1000, 25 << 20])
def test_a_file_as_the_body(egress, origin, size):
    contents = os.urandom(size)
    body = sealed_file(egress, contents)
    assert body.startswith(b"%EVENC")
    with egress.tunnel(to(origin), key=egress.app()[1]) as t:
        assert t.request("PUT", "/file", body,
                         content_type="application/octet-stream").status == 200
    seen = origin.last()
    got = dechunk(seen.body) if b"transfer-encoding" in seen.head.lower() else seen.body
    assert got == contents


def test_a_file_and_fields_of_a_multipart_body(egress, origin):
    contents, token = os.urandom(70_000), egress.token(CARD)
    b = b"----boundary-1"
    parts = [(b'form-data; name="card"', None, token.encode()),
             (b'form-data; name="json"', b"application/json", json.dumps({"c": token}).encode()),
             (b'form-data; name="scan"; filename="a.pdf"', b"application/pdf",
              sealed_file(egress, contents)),
             (b'form-data; name="plain"', None, b"left as it is")]

    def write(values):
        out = b""
        for (disposition, media, _), value in zip(parts, values, strict=True):
            out += b"--" + b + b"\r\nContent-Disposition: " + disposition + b"\r\n"
            out += b"Content-Type: " + media + b"\r\n" if media else b""
            out += b"\r\n" + value + b"\r\n"
        return out + b"--" + b + b"--\r\n"

    with egress.tunnel(to(origin), key=egress.app()[1]) as t:
        assert t.request("POST", "/up", write([p[2] for p in parts]), content_type=(
            "multipart/form-data; boundary=" + b.decode())).status == 200
    assert origin.last().body == write([
        CARD.encode(), json.dumps({"c": CARD}).encode(), contents, b"left as it is"])


def test_a_changed_file_stays(egress, origin):
    body = bytearray(sealed_file(egress, b"secret"))
    body[60] ^= 1
    with egress.tunnel(to(origin), key=egress.app()[1]) as t:
        assert t.request("PUT", "/file", bytes(body)).status == 200
    assert origin.last().body == bytes(body)


# ---- head -------------------------------------------------------------------------

def test_fields_and_query_stay_sealed_by_default(egress, origin):
    token = egress.token(CARD)
    quoted = urllib.parse.quote(token, safe="")
    with egress.tunnel(to(origin), key=egress.app()[1]) as t:
        t.request("GET", f"/x?card={quoted}", fields=[("X-Card", token)])
    assert token.encode() in origin.last().head and quoted.encode() in origin.last().head


def test_fields_and_query_by_option(make_egress, origin):
    stack = make_egress(conf="egress_open_headers = true\negress_open_query = true\n")
    value = 'a&b "c"/d'
    token, broken = stack.token(value), stack.token("a\r\nX-Evil: 1")
    quoted = urllib.parse.quote(token, safe="")
    with stack.tunnel(to(origin), key=stack.app()[1]) as t:
        reply = t.request("POST", f"/x/{token.replace('/', '%2F')}?card={quoted}&raw={token}&e=1",
                          json.dumps([token]).encode(), fields=[
            ("Authorization", f"Bearer {token}"), ("X-Two", f"{token} {token}"), ("X-Bad", broken)])
        assert reply.status == 200
    head = origin.last().head
    enc = urllib.parse.quote(value, safe="").encode()
    assert b"?card=" + enc + b"&raw=" + enc + b"&e=1 HTTP/1.1" in head
    assert b"/x/ev:" in head                    # the path is no query
    assert f"Authorization: Bearer {value}".encode() in head.split(b"\r\n")
    assert f"X-Two: {value} {value}".encode() in head.split(b"\r\n")
    assert f"X-Bad: {broken}".encode() in head.split(b"\r\n")
    assert json.loads(origin.last().body) == [value]
    with stack.tunnel(to(origin), key=stack.app()[1]) as t:
        assert t.request("GET", f"/y?{quoted}").status == 200
    assert enc in origin.last().head


def test_trailers_expect_and_http_1_0(egress, origin):
    token = egress.token(CARD)
    with egress.tunnel(to(origin), key=egress.app()[1]) as t:
        t.send(t.head("POST", "/x", [("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum"),
                                     ("Expect", "100-continue")]))
        reply = t._one("POST")
        assert reply.status == 100
        t.send(b"%x\r\n%s\r\n0\r\nX-Sum: 5\r\nAuthorization: no\r\n\r\n" %
               (len(token), token.encode()))
        assert t.reply("POST").status == 200
    seen = origin.last()
    assert dechunk_with_trailers(seen.body) == (CARD.encode(), b"X-Sum: 5\r\n")
    with egress.tunnel(to(origin), key=egress.app()[1]) as t:
        t.send(f"POST /x HTTP/1.0\r\nContent-Length: {len(token)}\r\n\r\n{token}".encode())
        reply = t.reply("POST")
        assert reply.status == 200 and reply.closed
    assert origin.last().body == CARD.encode()


def dechunk_with_trailers(data):
    out = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        if int(size, 16) == 0:
            return out, data[:-2]
        out, data = out + data[:int(size, 16)], data[int(size, 16) + 2:]


def test_pipelined_requests(egress, origin):
    token = egress.token(CARD).encode()
    with egress.tunnel(to(origin), key=egress.app()[1]) as t:
        one = t.head("POST", "/x", [("Content-Length", len(token))]) + token
        t.send(one * 10)
        for _ in range(10):
            assert t.reply("POST").status == 200
    assert [s.body for s in origin.seen()] == [CARD.encode()] * 10


@pytest.mark.parametrize("method,target", [("CONNECT", "localhost:1"), ("TRACE", "/")])
def test_methods_that_are_not_served_inside(egress, origin, method, target):
    with egress.tunnel(to(origin), key=egress.app()[1]) as t:
        t.send(f"{method} {target} HTTP/1.1\r\nHost: {to(origin)}\r\n\r\n".encode())
        assert t.reply("GET").code == "method-not-allowed"


@pytest.mark.parametrize("head", [
    "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/2.0\r\nHost: {to}\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: {to}\r\nHost: {to}\r\n\r\n", "GET  / HTTP/1.1\r\nHost: {to}\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: {to}\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: {to}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"])
def test_broken_requests_inside(egress, origin, head):
    with egress.tunnel(to(origin), key=egress.app()[1]) as t:
        t.send(head.replace("{to}", to(origin)).encode())
        reply = t.reply("POST")
        assert reply.status in (400, 505) and reply.closed
    assert origin.seen() == []


# ---- other protocols --------------------------------------------------------------

def test_websocket(egress, scripted):
    def script(c):
        c.send(websocket.switch(c.head()))
        with contextlib.suppress(EOFError):
            while True:
                opcode, data = websocket.read_frame(c.take)
                c.send(websocket.frame(data, opcode))
    origin = scripted(script)
    token = egress.token(CARD).encode()
    with egress.tunnel(to(origin), key=egress.app()[1]) as t:
        t.send(websocket.request(to(origin).encode()))
        assert t._one("GET").status == 101
        t.send(websocket.frame(token, mask=True))
        assert websocket.read_frame(t.take)[1] == token      # nobody looks inside


# ---- early bytes ------------------------------------------------------------------

def test_a_hello_that_comes_with_the_connect(egress, origin):
    """Nobody has to wait for 200 to begin with TLS."""
    import ssl
    context = ssl.create_default_context(cafile=str(egress.ca.pem))
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(into, out, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    hello = out.read()
    raw = socket.create_connection(("127.0.0.1", egress.ports["egress-plain"]), timeout=20)
    raw.sendall(f"CONNECT {to(origin)} HTTP/1.1\r\nHost: x\r\n\r\n".encode() + hello)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += raw.recv(1)
    assert answer.startswith(b"HTTP/1.1 200 ")

    def run(call, *args):
        while True:
            try:
                value = call(*args)
                raw.sendall(out.read())
                return value
            except ssl.SSLWantReadError:
                raw.sendall(out.read())
                into.write(raw.recv(65536))
    run(tls.do_handshake)
    run(tls.write, f"GET / HTTP/1.1\r\nHost: {to(origin)}\r\n"
        f"Proxy-Authorization: {egress.app()[1]}\r\n\r\n".encode())
    assert run(tls.read, 65536).startswith(b"HTTP/1.1 200 ")
    raw.close()


# ---- who goes ---------------------------------------------------------------------

def test_the_destination_dies_in_mid_stream(egress, scripted):
    def script(c):
        c.head()
        c.take(300_000)
        c.reset()
    origin = scripted(script)
    token = egress.token(CARD)
    piece = json.dumps([token, "x" * 5000]).encode()
    with egress.tunnel(to(origin), key=egress.app()[1]) as t:
        t.send(t.head("POST", "/x", [("Content-Length", 1000 * len(piece))]))
        with contextlib.suppress(OSError):
            for _ in range(1000):
                t.send(piece)
        with contextlib.suppress(OSError, EOFError):
            assert t.reply("POST").code == "upstream-protocol-error"
    assert origin.faults == []


def test_a_client_that_leaves_in_mid_body_leaves_no_whole_request(egress, origin):
    token = egress.token(CARD)
    with egress.tunnel(to(origin), key=egress.app()[1]) as t:
        t.send(t.head("POST", "/x", [("Transfer-Encoding", "chunked")]))
        piece = json.dumps([token, "x" * 5000]).encode()
        for _ in range(200):
            t.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        until("the origin has a part", lambda: in_flight(origin))
    until("it is cut there", lambda: b"=== partial" in origin.raw_log())
    assert origin.seen() == []


def in_flight(origin):
    import subprocess
    out = subprocess.run(["ss", "-tniH", f"sport = :{origin.port}"], capture_output=True,
                         text=True, check=False, timeout=20).stdout
    return any(int(w.split(":")[1]) > 100_000 for w in out.split()
               if w.startswith("bytes_received:"))


def test_reload_and_kill_with_tunnels_open(egress, origin):
    with egress.tunnel(to(origin), key=egress.app()[1]) as t:
        assert t.request("GET", "/").status == 200
        egress.ctl("reload", "--wait")
        with egress.tunnel(to(origin), key=egress.app()[1]) as n:
            assert n.request("GET", "/").status == 200
        with contextlib.suppress(OSError, EOFError):     # an idle tunnel is let go
            assert t.request("GET", "/").status == 200
    for name, pid in egress.pids("worker").items():
        os.kill(pid, signal.SIGKILL)
        until(f"{name} is back", lambda name=name, pid=pid:
              egress.child(name) not in (None, pid))
    with egress.tunnel(to(origin), key=egress.app()[1]) as t:
        assert t.request("GET", "/").status == 200


def test_a_connect_that_nobody_goes_on_with_is_let_go(make_egress, origin):
    stack = make_egress(conf="handshake_timeout_ms = 300\n")
    for early in (b"", b"\x16\x03\x01"):
        with stack.tunnel(to(origin), kind="egress-plain", connect_only=True, early=early) as t:
            assert t.sock.recv(1) == b""
    stack.wait_log("why=handshake-timeout", 2)
