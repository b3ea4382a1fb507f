import socket, ssl, threading, time, json, sys
sys.path.insert(0, "/work/main/tests/scenario")
import pytest
from conftest import route, seal

class RawOrigin:
    """TLS server; `serve(conn, n)` does what it wants with the n-th connection."""
    def __init__(self, ca, serve):
        pem, key = ca.leaf("raw%d" % id(self), ["localhost", "127.0.0.1"])
        self.ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ctx.load_cert_chain(pem, key)
        self.s = socket.create_server(("127.0.0.1", 0))
        self.port = self.s.getsockname()[1]
        self.serve, self.n = serve, 0
        self.got = []
        threading.Thread(target=self.loop, daemon=True).start()
    def loop(self):
        while True:
            try:
                raw, _ = self.s.accept()
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError:
                return
            self.n += 1
            threading.Thread(target=self.one, args=(raw, self.n), daemon=True).start()
    def one(self, raw, n):
        try:
            c = self.ctx.wrap_socket(raw, server_side=True)
            self.serve(self, c, n)
        except Exception as e:
            self.got.append(("error", repr(e)))
            try: raw.close()
            except Exception: pass

def head(c):
    d = b""
    while b"\r\n\r\n" not in d:
        p = c.recv(65536)
        if not p: raise EOFError
        d += p
    h, _, rest = d.partition(b"\r\n\r\n")
    return h, rest

def cut(c):
    """close without close_notify"""
    s = socket.socket(fileno=c.detach()); s.close()

@pytest.fixture
def stack1(make_stack):
    return make_stack(workers=1)

def test_truncating_origin_and_slow_client(stack1, ca):
    body = b"x" * 3_000_000
    def serve(o, c, n):
        head(c)
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        cut(c)
    o = RawOrigin(ca, serve)
    stack1.relay("a.test", to=o.port)
    with stack1.connect("a.test", rcvbuf=4096) as c:
        c.send(c.head("GET", "/", []))
        time.sleep(1.0)
        r = c.reply()
        assert r.status == 200 and r.body == body

def test_truncated_until_close_is_cut(stack1, ca):
    def serve(o, c, n):
        head(c)
        c.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"y" * 100000)
        cut(c)
    o = RawOrigin(ca, serve)
    stack1.relay("a.test", to=o.port)
    with stack1.connect("a.test") as c:
        c.send(c.head("GET", "/", []))
        with pytest.raises((EOFError, ssl.SSLError, ConnectionError)):
            c.reply()

def test_until_close_ok(stack1, ca):
    def serve(o, c, n):
        head(c)
        c.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"y" * 1000000)
        c.unwrap()
    o = RawOrigin(ca, serve)
    stack1.relay("a.test", to=o.port)
    with stack1.connect("a.test") as c:
        c.send(c.head("GET", "/", []))
        r = c.reply()
        assert r.body == b"y" * 1000000 and r.field("transfer-encoding") == "chunked"
        c.send(c.head("GET", "/", []))
        assert c.reply().status == 200

def test_opened_answer_of_a_truncating_origin(stack1, ca):
    def serve(o, c, n):
        h, rest = head(c)
        if h.startswith(b"POST"):
            n = int([l for l in h.split(b"\r\n") if l.lower().startswith(b"content-length")][0].split(b":")[1])
            while len(rest) < n: rest += c.recv(65536)
            o.got.append(rest)
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        else:
            b = o.got[0]
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: \"x\"\r\nContent-Length: %d\r\n\r\n" % len(b) + b)
        cut(c)
    o = RawOrigin(ca, serve)
    stack1.relay("a.test", to=o.port, routes=[seal("POST", "/", "$.a"), route("GET", "/", decrypt=["$.a"])])
    assert stack1.post("a.test", "/", b'{"a": "secret"}').status == 200
    r = stack1.get("a.test")
    assert r.status == 200 and r.body == b'{"a": "secret"}' and r.field("etag") == 'W/"x"', r

def test_early_answer_and_reset(stack1, ca):
    def serve(o, c, n):
        head(c)
        c.sendall(b"HTTP/1.1 413 No\r\nContent-Length: 3\r\n\r\nbig")
        cut(c)      # unread input: a reset
    o = RawOrigin(ca, serve)
    stack1.relay("a.test", to=o.port)
    for _ in range(5):
        with stack1.connect("a.test") as c:
            c.send(c.head("POST", "/", [("Content-Length", 20_000_000)]))
            c.sock.settimeout(0.1)
            try:
                for _ in range(1200): c.send(b"z" * 16000)
            except (TimeoutError, ssl.SSLError, OSError): pass
            c.sock.settimeout(10)
            r = c.reply("POST")
            assert (r.status, r.body) == (413, b"big"), r
            assert c.ended()

def test_no_smuggling_when_origin_dies(stack1, ca):
    def serve(o, c, n):
        head(c)
        cut(c)
    o = RawOrigin(ca, serve)
    stack1.relay("a.test", to=o.port)
    stack1.relay("b.test", to=o.port)
    inner = b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n"
    for i in range(30):
        with stack1.connect("a.test") as c:
            c.send(c.head("POST", "/", [("Content-Length", len(inner) * 3000 + 1)]))
            c.send(inner * 1500)
            time.sleep(0.001 * i)
            try: c.send(inner * 1500)
            except Exception: pass
            r = c.reply("POST")
            assert r.status == 502, r
            assert c.ended(), c.buffer

def test_origin_that_times_out_while_we_read(stack1, ca):
    def serve(o, c, n):
        c.settimeout(0.2)
        try:
            h, rest = head(c)
        except (TimeoutError, socket.timeout):
            c.unwrap(); return
        c.settimeout(5)
        n = int([l for l in h.split(b"\r\n") if l.lower().startswith(b"content-length")][0].split(b":")[1])
        while len(rest) < n: rest += c.recv(65536)
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    o = RawOrigin(ca, serve)
    stack1.relay("a.test", to=o.port, routes=[seal("POST", "/", "$.a")])
    body = b'{"a": "secret"}'
    with stack1.connect("a.test") as c:
        c.send(c.head("POST", "/", [("Content-Type", "application/json"), ("Content-Length", len(body))]))
        for b in body:
            c.send(bytes([b])); time.sleep(0.06)
        r = c.reply("POST")
        assert r.status == 200, r
    assert o.n >= 2

def test_half_close_with_body_waiting(stack1, ca):
    got = []
    def serve(o, c, n):
        h, rest = head(c)
        time.sleep(0.3)
        n = 400_000
        while len(rest) < n: rest += c.recv(4096)
        got.append(rest)
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    o = RawOrigin(ca, serve)
    stack1.relay("a.test", to=o.port)
    ctx = ssl.create_default_context(cafile=str(ca.pem)); ctx.check_hostname = False
    for fin in (False, True):
        raw = socket.create_connection(("127.0.0.1", stack1.port)); raw.settimeout(10)
        i, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        s = ctx.wrap_bio(i, out, server_hostname="a.test")
        def pump():
            d = out.read()
            if d: raw.sendall(d)
        while True:
            try: s.do_handshake(); pump(); break
            except ssl.SSLWantReadError: pump(); i.write(raw.recv(65536))
        s.write(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 400000\r\n\r\n" + b"q" * 400000)
        try: s.unwrap()
        except ssl.SSLWantReadError: pass
        pump()
        if fin: raw.shutdown(socket.SHUT_WR)
        data = b""
        while True:
            p = raw.recv(65536)
            if not p: break
            i.write(p)
            try:
                while True:
                    q = s.read(65536)
                    if not q: break
                    data += q
            except (ssl.SSLWantReadError, ssl.SSLZeroReturnError, ssl.SSLError): pass
        assert data.startswith(b"HTTP/1.1 200"), data
        raw.close()
    assert all(g == b"q" * 400000 for g in got)

def test_body_cut_by_client(stack1, ca):
    def serve(o, c, n):
        try:
            h, rest = head(c)
            while True:
                p = c.recv(65536)
                if not p: break
                rest += p
        except Exception as e:
            o.got.append(repr(e))
        o.got.append("end")
    o = RawOrigin(ca, serve)
    stack1.relay("a.test", to=o.port)
    c = stack1.connect("a.test")
    c.send(c.head("POST", "/", [("Content-Length", 100)]) + b"x" * 50)
    time.sleep(0.1)
    c.close()
    for _ in range(100):
        if "end" in o.got: break
        time.sleep(0.05)
    assert "end" in o.got
    # worker alive
    assert stack1.get("nope.test").status == 404

def test_loop(stack1):
    stack1.relay("a.test", to=stack1.port)       # localhost:port = ourselves
    r = stack1.get("a.test")
    assert (r.status, r.code) == (508, "tunnel-loop"), r
    with stack1.connect("a.test") as c:
        r = c.request("GET", "/", fields=[("Via", "1.1 other, 1.1 relay-a.test (x)")])
        assert r.status == 508
    with stack1.connect("a.test") as c:
        r = c.request("GET", "/", fields=[("Via", "1.1 x, 1.1 relay-a.test")])
        assert r.status == 508

def test_absolute_form_and_options(stack1, origin):
    stack1.relay("a.test", to=origin)
    with stack1.connect("a.test") as c:
        assert c.request("GET", "http://a.test?x=1").status == 200
        assert origin.last().head.startswith(b"GET /?x=1 HTTP/1.1\r\n"), origin.last().head
        assert c.request("GET", "https://a.test/p/q?").status == 200
        assert origin.last().head.startswith(b"GET /p/q? HTTP/1.1\r\n")
        c.request("OPTIONS", "http://a.test")
        assert origin.last().head.startswith(b"OPTIONS * HTTP/1.1\r\n")

def test_large_head_option(make_stack, origin):
    s = make_stack(workers=1, conf="max_head_bytes = 300000\nmax_target_bytes = 20000\n")
    s.relay("a.test", to=origin)
    with s.connect("a.test") as c:
        r = c.request("GET", "/", fields=[("X-A%d" % i, "v" * 1000) for i in range(120)])
        assert r.status in (200, 431, 500, 400, 502), r
        assert r.field("x-evervault-ctx")

def test_idle_connection_gets_goodbye_on_drain(stack1, origin):
    stack1.relay("a.test", to=origin)
    c = stack1.connect("a.test")
    assert c.request("GET", "/").status == 200
    fresh = stack1.connect("a.test")
    stack1.ctl("reload", "--wait")
    assert c.sock.recv(1) == b""        # close_notify, else SSLError
    r = fresh.request("GET", "/")
    assert r.status == 200

def test_pipelined_many(stack1, origin):
    stack1.relay("a.test", to=origin)
    with stack1.connect("a.test") as c:
        c.send(c.head("GET", "/", []) * 200)
        for _ in range(200):
            assert c.reply().status == 200

def test_empty_chunked_with_work(stack1, origin):
    stack1.relay("a.test", to=origin, routes=[seal("POST", "/", "$.a")])
    r = stack1.post("a.test", "/", b"", chunks=[])
    assert r.status == 200, r
