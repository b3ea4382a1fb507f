"""Connections to destinations: several addresses and a dead one among them, a
name server that keeps silent, a destination that refuses and comes back, and
the relay itself as a destination.  Peers: relayd with one worker, a name server
and TLS origins of the test."""
import contextlib
import socket
import ssl
import threading
import time

import pytest

from conftest import CA, free_port, route, until
from scripted_origin import ScriptedOrigin

ALL = route("GET", "/**")
NAME = "api.relay.test"
A, AAAA = 1, 28
SOON_S = 4              # below the connect deadline, with sanitizers


class NameServer:
    """Answers from `zone`, {name: [addresses]}; silent about (name, type) pairs
    in `silent`.  Counts what it is asked."""

    def __init__(self, zone, silent=()):
        self.zone, self.silent = zone, silent
        self.asked = []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                question, peer = self.sock.recvfrom(512)
            except OSError:
                return          # close() was called
            if answer := self.answer(question):
                self.sock.sendto(answer, peer)

    def answer(self, q):
        labels, at = [], 12
        while q[at]:
            labels.append(q[at + 1:at + 1 + q[at]].decode())
            at += 1 + q[at]
        name, kind = ".".join(labels), int.from_bytes(q[at + 1:at + 3], "big")
        self.asked.append((name, kind))
        if (name, kind) in self.silent:
            return None
        family = {A: socket.AF_INET, AAAA: socket.AF_INET6}.get(kind)
        records = b""
        count = 0
        for ip in self.zone.get(name, ()):
            if family and (":" in ip) == (kind == AAAA):
                data = socket.inet_pton(family, ip)
                records += (b"\xc0\x0c" + kind.to_bytes(2, "big") + b"\0\1\0\0\1\x2c"
                            + len(data).to_bytes(2, "big") + data)
                count += 1
        flags = b"\x84\x80" if name in self.zone else b"\x84\x83"
        return (q[:2] + flags + b"\0\1" + count.to_bytes(2, "big") + b"\0\0\0\0"
                + q[12:at + 5] + records)

    def close(self):
        self.sock.close()


@pytest.fixture
def names():
    made = []

    def make(*args, **options):
        made.append(NameServer(*args, **options))
        return made[-1]
    yield make
    for n in made:
        n.close()


@pytest.fixture
def api(make_origin):
    return make_origin(hosts=(NAME, "localhost", "127.0.0.1"))


def make_relay(make_stack, server, origin, conf=""):
    stack = make_stack(workers=1, conf=f'dns_servers = "127.0.0.1:{server.port}"\n{conf}')
    stack.relay("shop.test", origin, ALL, destinationDomain=NAME)
    return stack


def get_soon(stack, host="shop.test"):
    """An answer, and how long it took."""
    with stack.connect(host) as c:
        start = time.monotonic()
        return c.request("GET", "/bytes/3"), time.monotonic() - start


@contextlib.contextmanager
def silent_v6(port):
    """[::1]:port takes a SYN and never answers it: its queue is full."""
    with contextlib.ExitStack() as on_exit:
        def v6():
            s = on_exit.enter_context(socket.socket(socket.AF_INET6))
            s.setblocking(False)
            return s
        try:
            listener = v6()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("::1", port))
        except OSError as e:
            pytest.skip(f"no [::1]:{port} here: {e}")
        listener.listen(0)
        for _ in range(4):
            with contextlib.suppress(BlockingIOError):
                v6().connect(("::1", port))
        yield


def test_an_address_that_refuses_costs_nothing(make_stack, names, api):
    server = names({NAME: ["::1", "127.0.0.3", "127.0.0.1"]})
    stack = make_relay(make_stack, server, api)
    reply, seconds = get_soon(stack)
    assert reply.status == 200 and seconds < SOON_S
    assert "circuit" not in stack.logs()


def test_a_silent_ipv6_address_does_not_eat_the_deadline(make_stack, names, api):
    server = names({NAME: ["::1", "127.0.0.1"]})
    stack = make_relay(make_stack, server, api, "connect_timeout_ms = 20000")
    with silent_v6(api.port):
        reply, seconds = get_soon(stack)
    assert reply.status == 200 and seconds < SOON_S


def test_an_address_with_a_false_certificate_is_passed_over(make_stack, names, api, tmp_path):
    """127.0.0.2 has a TLS server on the same port whose certificate nobody trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*CA(tmp_path / "false", "false root").leaf("false", [NAME]))
    server = names({NAME: ["127.0.0.2", "127.0.0.1"], "false.relay.test": ["127.0.0.2"]})
    stack = make_relay(make_stack, server, api)
    stack.relay("false.test", api, ALL, destinationDomain="false.relay.test",
                destination={"port": api.port, "serverName": NAME})
    contacted = []
    with socket.create_server(("127.0.0.2", api.port)) as listener:
        def serve():
            with contextlib.suppress(OSError):
                while True:
                    plain, _ = listener.accept()
                    contacted.append(plain)
                    with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True):
                        pass
        threading.Thread(target=serve, daemon=True).start()
        reply, _ = get_soon(stack)
        assert reply.status == 200 and contacted
        reply, _ = get_soon(stack, "false.test")
        assert (reply.status, reply.code) == (502, "upstream-tls-error")
        listener.shutdown(socket.SHUT_RDWR)


def test_a_name_server_silent_about_ipv6_is_not_waited_for(make_stack, names, api):
    server = names({NAME: ["127.0.0.1"]}, silent=[(NAME, AAAA)])
    stack = make_relay(make_stack, server, api)
    reply, seconds = get_soon(stack)
    assert reply.status == 200 and seconds < SOON_S
    for _ in range(20):
        assert get_soon(stack)[0].status == 200
    assert server.asked.count((NAME, A)) == 1   # its TTL is 300 s


def test_a_name_that_does_not_exist_is_no_fault_of_the_destination(make_stack, names, api):
    server = names({})
    stack = make_relay(make_stack, server, api, "origin_max_fails = 2")
    for _ in range(5):
        reply, _ = get_soon(stack)
        assert (reply.status, reply.code) == (503, "service-unavailable")
    assert "circuit" not in stack.logs()


def test_a_destination_that_refuses_is_left_alone_and_found_again(make_stack, make_origin):
    stack = make_stack(workers=1, conf="origin_max_fails = 3\norigin_fail_ms = 1500")
    port = free_port()
    stack.relay("shop.test", port, ALL)
    for _ in range(12):
        reply, seconds = get_soon(stack)
        assert (reply.status, reply.code) == (503, "service-unavailable")
        assert seconds < SOON_S
    stack.wait_log(f"origin circuit open destination=localhost port={port} why=")
    stack.wait_log('why="circuit open"')
    make_origin(port=port)
    until("the destination is used again", lambda: get_soon(stack)[0].status == 200)
    stack.wait_log(f"origin circuit closed destination=localhost port={port} why=")
    for _ in range(5):
        assert get_soon(stack)[0].status == 200


def test_another_destination_of_the_same_host_is_not_touched(make_stack, origin):
    stack = make_stack(workers=1, conf="origin_max_fails = 1\norigin_fail_ms = 600000")
    port = free_port()
    stack.relay("gone.test", port, ALL)
    stack.relay("good.test", origin, ALL)
    for _ in range(3):
        assert get_soon(stack, "gone.test")[0].code == "service-unavailable"
    stack.wait_log(f"origin circuit open destination=localhost port={port}")
    assert get_soon(stack, "good.test")[0].status == 200


def test_idle_connections_are_used_while_the_circuit_is_open(make_stack, ca):
    def answer(peer):
        while True:
            peer.request()
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    origin = ScriptedOrigin(ca, answer)
    stack = make_stack(workers=1, conf="origin_max_fails = 1\norigin_fail_ms = 600000\n"
                                       "origin_idle_ms = 600000")
    stack.relay("shop.test", origin, ALL)
    with stack.connect("shop.test") as one:
        assert one.request("GET", "/").body == b"ok"
        origin.close()          # the listener; the connection stays
        # In use by a slow request: the next one needs a new connection.
        one.send(one.head("POST", "/", [("Content-Length", 1)]))
        until("the first request holds the connection",
              lambda: get_soon(stack)[0].code == "service-unavailable")
        stack.wait_log("origin circuit open")
        one.send(b"x")
        assert one.reply().body == b"ok"
        assert get_soon(stack)[0].body == b"ok"
    assert origin.connections == 1 and origin.faults == []


@pytest.mark.parametrize("listen,to", [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"),
                                       ("0.0.0.0", "127.0.0.77"), ("127.0.0.1", "0.0.0.0")])
def test_the_relay_is_no_destination_of_its_own(make_stack, listen, to):
    stack = make_stack(workers=1, start=False)
    conf = stack.dir / "relay.conf"
    conf.write_text(conf.read_text().replace(f'address = "127.0.0.1:{stack.port}"',
                                             f'address = "{listen}:{stack.port}"'))
    stack.start()
    stack.relay("shop.test", stack.port, ALL, destinationDomain=to)
    reply, _ = get_soon(stack)
    assert (reply.status, reply.code) == (508, "tunnel-loop")
    assert stack.logs().count("circuit") == 0
