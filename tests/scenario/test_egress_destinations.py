"""Where an app may send what it opens: its allowlist, addresses that are not public, our
own listeners, tunnels that nobody opens."""
import contextlib
import json
import socket
import threading

import pytest

from conftest import Connection
from egress_stage import allow

CARD = "4111111111111111"


def test_allowlist(egress, make_origin):
    here, there = make_origin(), make_origin()
    key = egress.app()[1]
    allow(egress, {"destinations": [{"host": "localhost", "port": here.port, "methods": ["POST"],
                                     "paths": ["/pay/**"]}]})
    token = egress.token(CARD)
    with egress.tunnel(f"localhost:{there.port}", key=key) as t:
        assert (t.answer.status, t.answer.code) == (403, "forbidden-destination")
    with egress.tunnel(f"localhost:{there.port}", inner_key=key) as t:
        reply = t.request("POST", "/pay/1", token.encode())
        assert (reply.status, reply.code) == (403, "forbidden-destination")
    assert there.seen() == []
    with egress.tunnel(f"localhost:{here.port}", key=key) as t:
        assert t.request("GET", "/pay/1").code == "forbidden-destination"
        assert t.request("POST", "/other", token.encode()).code == "forbidden-destination"
    with egress.tunnel(f"localhost:{here.port}", key=key) as t:
        assert t.request("POST", "/pay/../other", token.encode()).status == 403
    with egress.tunnel(f"localhost:{here.port}", key=key) as t:
        assert t.request("POST", "/pay/1", token.encode()).status == 200
    assert [s.body for s in here.seen()] == [CARD.encode()]
    # Another app has no record: every destination is its own.
    with egress.tunnel(f"localhost:{there.port}", key=egress.app("other")[1]) as t:
        assert t.request("POST", "/pay/1", token.encode()).status == 200
    assert there.last().body == token.encode()      # and no key for that token
    allow(egress, {"destinations": []})
    with egress.tunnel(f"localhost:{here.port}", key=key) as t:
        assert t.answer.code == "forbidden-destination"


def paths(origin):
    return [s.head.split(b" ")[1].decode() for s in origin.seen()]


def test_dot_segments_pass_by_no_pattern(egress, make_origin):
    """A destination that does not resolve them would serve another path."""
    here, free = make_origin(), make_origin()
    key = egress.app()[1]
    allow(egress, {"destinations": [
        {"host": "localhost", "port": here.port, "paths": ["/public/**", "/**"]},
        {"host": "localhost", "port": free.port, "methods": ["GET"]},
        {"host": "localhost", "port": free.port, "paths": ["/public/**"]}]})
    with egress.tunnel(f"localhost:{here.port}", key=key) as t:
        for path in ("/secret/../public/x", "/public/./x", "/public/x/..", "/public/x/.?y=z"):
            reply = t.request("GET", path)
            assert (reply.status, reply.code) == (403, "forbidden-destination"), path
            assert "dot segments" in reply.json()["detail"]
        assert here.seen() == []
        for path in ("/public/...", "/public/%41~%7e", "/public/.x/y..", "/public/x?y=/../z"):
            assert t.request("GET", path).status == 200, path
    assert paths(here) == ["/public/...", "/public/%41~%7e", "/public/.x/y..",
                           "/public/x?y=/../z"]
    # Without paths it is the destination's affair; another entry's pattern lends nothing.
    with egress.tunnel(f"localhost:{free.port}", key=key) as t:
        assert t.request("GET", "/secret/../public/x").status == 200
        assert t.request("POST", "/secret/../public/x", b"{}").code == "forbidden-destination"
    with egress.tunnel(f"localhost:{free.port}", key=key) as t:
        assert t.request("POST", "/public/x", b"{}").status == 200
    assert paths(free) == ["/secret/../public/x", "/public/x"]
    # Nor may they choose what becomes of the answer.
    allow(egress, {"responses": [{"path": "/public/**", "response": [
        {"action": "encrypt", "selections": [{"selector": "$..*"}]}]}]})
    with egress.tunnel(f"localhost:{free.port}", key=key) as t:
        reply = t.request("POST", "/public/../open", b"{}")
        assert (reply.status, reply.code) == (403, "forbidden-destination")
        assert "responses" in reply.json()["detail"]
    with egress.tunnel(f"localhost:{free.port}", key=key) as t:
        assert t.request("POST", "/open", b"{}").status == 200
    assert paths(free)[2:] == ["/open"]


def test_a_changed_allowlist_counts_for_the_next_request_of_a_kept_tunnel(egress, origin):
    with egress.tunnel(f"localhost:{origin.port}", key=egress.app()[1]) as t:
        assert t.request("POST", "/x", b"{}").status == 200
        allow(egress, {"destinations": [{"host": "api.example.com"}]})
        assert t.request("POST", "/x", b"{}").code == "forbidden-destination"
    assert len(origin.seen()) == 1


def test_none_by_default(make_egress, origin):
    stack = make_egress(conf='egress_default = "deny"\n')
    to = f"localhost:{origin.port}"
    with stack.tunnel(to, key=stack.app()[1]) as t:
        assert t.answer.code == "forbidden-destination"
    allow(stack, {"destinations": [{"host": "localhost", "port": origin.port}]})
    with stack.tunnel(to, key=stack.app()[1]) as t:
        assert t.request("GET", "/").status == 200


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "0.0.0.0",
                                  "[::ffff:127.0.0.1]", "10.1.2.3", "192.168.0.1", "169.254.169.254",
                                  "[fd00::1]", "[64:ff9b::7f00:1]", "100.64.0.1"])
def test_addresses_that_are_not_public_are_refused(make_egress, origin, host):
    stack = make_egress(internal=False)
    with stack.tunnel(f"{host}:{origin.port}", key=stack.app()[1], verify=False) as t:
        assert t.answer.status == 200
        reply = t.request("POST", "/x", b"{}")
        assert (reply.status, reply.code) == (403, "forbidden-destination")
    assert origin.seen() == []


def test_internal_addresses_that_conf_names(make_egress, origin):
    stack = make_egress(internal=False, conf='egress_internal = { "127.0.0.0/30" }\n')
    key = stack.app()[1]
    with stack.tunnel(f"127.0.0.1:{origin.port}", key=key) as t:
        assert t.request("GET", "/").status == 200
    for host in ("127.0.0.4", "10.1.2.3", "[::1]", "[64:ff9b::7f00:1]", "169.254.169.254"):
        with stack.tunnel(f"{host}:{origin.port}", key=key, verify=False) as t:
            assert t.request("GET", "/").code == "forbidden-destination", host
    assert len(origin.seen()) == 1


def test_internal_of_one_destination(make_egress, make_origin):
    stack, here, there = make_egress(internal=False), make_origin(), make_origin()
    allow(stack, {"destinations": [
        {"host": "localhost", "port": here.port, "internal": True},
        {"host": "localhost", "port": there.port}]})
    with stack.tunnel(f"localhost:{here.port}", key=stack.app()[1]) as t:
        assert t.request("GET", "/").status == 200
    with stack.tunnel(f"localhost:{there.port}", key=stack.app()[1]) as t:
        assert t.request("GET", "/").code == "forbidden-destination"


def test_our_own_listeners(egress):
    for port in (egress.port, *egress.ports.values()):
        with egress.tunnel(f"127.0.0.1:{port}", key=egress.app()[1]) as t:
            reply = t.request("GET", "/")
            assert (reply.status, reply.code) == (508, "tunnel-loop"), port


def test_an_engine_is_nobody_s_destination(egress):
    """The one of relay.conf, by its name; whatever the app's record says."""
    allow(egress, {"destinations": [{"host": h, "port": egress.e3_port}
                                    for h in ("127.0.0.1", "localhost")]})
    conf = egress.dir / "relay.conf"
    text = conf.read_text()
    local = f'engine = {{ "unix:{egress.run}/e3.sock" }}'
    assert local in text
    conf.write_text(text.replace(local, f'engine = {{ "localhost:{egress.e3_port}" }}'))
    with egress.logs_more(f"engine ready engine=localhost:{egress.e3_port}", egress.workers):
        egress.ctl("reload", "--wait")
    for host in ("127.0.0.1", "localhost"):
        with egress.tunnel(f"{host}:{egress.e3_port}", key=egress.app()[1]) as t:
            reply = t.request("GET", "/")
            assert (reply.status, reply.code) == (508, "tunnel-loop"), host


def test_nothing_is_resolved_before_key_and_allowlist(make_egress):
    """A name server that counts what it is asked."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    server.settimeout(5)
    stack = make_egress(conf=f'dns_servers = "127.0.0.1:{server.getsockname()[1]}"\n')
    allow(stack, {"destinations": [{"host": "good.example.com"}]})
    for options in ({}, {"inner_key": "wrong"}, {"inner_key": stack.app()[1]}):
        with stack.tunnel("evil.example.net:443", **options) as t:
            assert t.request("GET", "/").status in (401, 403)
    with stack.tunnel("evil.example.net:443", key=stack.app()[1]) as t:
        assert t.answer.status == 403
    server.setblocking(False)
    with pytest.raises(BlockingIOError):
        server.recv(512)
    server.settimeout(5)
    with stack.tunnel("good.example.com:443", key=stack.app()[1]) as t:
        t.send(t.head("GET", "/", []))
        assert b"good" in server.recv(512)
    server.close()


def test_an_untrusted_destination(egress, make_origin, tmp_path):
    from conftest import CA
    origin = make_origin(ca=CA(tmp_path / "other"))
    with egress.tunnel(f"localhost:{origin.port}", key=egress.app()[1]) as t:
        reply = t.request("POST", "/x", egress.token(CARD).encode())
        assert (reply.status, reply.code) == (502, "upstream-tls-error")
    assert origin.seen() == []


# ---- tunnels that nobody opens ----------------------------------------------------

def test_pass_through(make_egress, origin):
    stack = make_egress(conf='egress_pass_through = { "localhost", "*.pinned.test" }\n')
    to, key = f"localhost:{origin.port}", stack.app()[1]
    with stack.tunnel(to) as t:
        assert (t.answer.status, t.answer.code) == (407, "proxy-authentication-required")
    with stack.tunnel(to, key=key) as t:
        assert t.answer.code == "forbidden-destination"        # not named by the app
    # Nobody could see whether it keeps to them.
    for rule in ({"methods": ["GET"]}, {"paths": ["/a"]}):
        allow(stack, {"destinations": [{"host": "localhost", "port": origin.port} | rule]})
        with stack.tunnel(to, key=key) as t:
            assert t.answer.code == "forbidden-destination"
    named = {"destinations": [{"host": "localhost", "port": origin.port}]}
    # Nobody could seal what comes back.
    allow(stack, named | {"responses": [{"method": "POST", "path": "/x", "response": [
        {"action": "encrypt", "selections": [{"selector": "$.card"}]}]}]})
    with stack.tunnel(to, key=key) as t:
        assert t.answer.code == "forbidden-destination"
        assert "seal answers" in t.answer.json()["detail"]
    allow(stack, named)
    token = stack.token(CARD)
    with stack.tunnel(to, key=key) as t:
        # The certificate is the destination's own, and nothing is opened.
        assert "test root" in str(t.peer().issuer)
        assert t.request("POST", "/x", token.encode()).status == 200
    assert origin.last().body == token.encode()
    with stack.tunnel(to, kind="egress-plain", key=key) as t:
        assert t.answer.status == 407


# ---- plain http -------------------------------------------------------------------

class PlainOrigin:
    def __init__(self):
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]

    def answer(self):
        c, _ = self.sock.accept()
        c.settimeout(20)
        seen = b""
        while b"\r\n\r\n" not in seen or not seen.endswith(b"}"):
            seen += c.recv(65536)
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        c.close()
        return seen


def test_plain_http_only_by_option_and_over_tls(make_egress):
    stack, origin = make_egress(conf="egress_plain_http = true\n"), PlainOrigin()
    token = json.dumps({"card": stack.token(CARD)}).encode()
    request = (f"POST http://127.0.0.1:{origin.port}/pay?x=1 HTTP/1.1\r\n"
               f"Host: 127.0.0.1:{origin.port}\r\nContent-Type: application/json\r\n"
               f"Proxy-Authorization: %s\r\nContent-Length: {len(token)}\r\n\r\n").encode()
    seen = []
    thread = threading.Thread(target=lambda: seen.append(origin.answer()))
    thread.start()
    with Connection(stack.ports["egress"], stack.ca.pem, "localhost") as c:
        c.send(request.replace(b"%s", stack.app()[1].encode()) + token)
        assert c.reply().status == 200
    thread.join(20)
    assert seen[0].startswith(b"POST /pay?x=1 HTTP/1.1\r\n")
    assert json.dumps({"card": CARD}).encode() in seen[0]
    assert b"proxy-authorization" not in seen[0].lower()
    with Connection(stack.ports["egress"], stack.ca.pem, "localhost") as c:
        c.send(request.replace(b"%s", b"wrong") + token)
        assert c.reply().status == 407
    with socket.create_connection(("127.0.0.1", stack.ports["egress-plain"]), timeout=20) as raw:
        raw.sendall(request.replace(b"%s", stack.app()[1].encode()) + token)
        assert raw.recv(65536).startswith(b"HTTP/1.1 400 ")
    origin.sock.close()


def say_port(sock):
    """Each connection is kept, each answer is the port."""
    def serve(c):
        with c, c.makefile("rb") as f:
            while f.readline():
                while f.readline() not in (b"\r\n", b""):
                    pass
                body = str(sock.getsockname()[1]).encode()
                c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"
                          % (len(body), body))

    def accept():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(sock.accept()[0],), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    return sock.getsockname()[1]


def test_plain_http_to_several_destinations_on_one_connection(make_egress):
    """A connection that authenticates itself is for its own destination alone."""
    stack = make_egress(conf="egress_plain_http = true\n")
    with socket.create_server(("127.0.0.1", 0)) as one, \
            socket.create_server(("127.0.0.1", 0)) as two, \
            Connection(stack.ports["egress"], stack.ca.pem, "localhost") as c:
        ports = [say_port(one), say_port(two)]
        for port in ports + ports:
            c.send((f"GET http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
                    f"Authorization: NTLM TlRMTVNTUAAB\r\n"
                    f"Proxy-Authorization: {stack.app()[1]}\r\n\r\n").encode())
            assert c.reply().body == str(port).encode()
        for sock in (one, two):
            sock.shutdown(socket.SHUT_RDWR)
