"""Who the client is: X-Forwarded-*, Forwarded and the PROXY protocol, versions 1
and 2, in front of TLS.  Peers: TLS clients that come from a trusted proxy's
address (127.0.0.2) and from others, an installation, an origin that keeps what
it got.  A trusted proxy is believed; nobody else is, whoever speaks through it."""
import contextlib
import ipaddress
import socket
import ssl
import struct

import pytest

from conftest import until
from http_stage import PLAIN, stage_fixture

PROXY, OTHER, INNER = "127.0.0.2", "127.0.0.1", "10.9.1.2"
HANDSHAKE_MS = 1500
stage = stage_fixture(f'trusted_proxies = {{ "{PROXY}/32", "10.9.0.0/16", "2001:db8:9::/48" }}\n'
                      f"handshake_timeout_ms = {HANDSHAKE_MS}\n")
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
FALSE = [("X-Forwarded-For", "6.6.6.6"), ("x-forwarded-for", "7.7.7.7"),
         ("X-Forwarded-Proto", "gopher"), ("X-Forwarded-Host", "evil.test"),
         ("Forwarded", "for=6.6.6.6;proto=gopher;host=evil.test"), ("forwarded", "for=_x")]


def v1(client, proxy="127.0.0.1", ports="40000 443"):
    family = "TCP6" if ":" in client else "TCP4"
    return f"PROXY {family} {client} {proxy} {ports}\r\n".encode()


def v2(client=None, command=0x21, tlvs=b"", family=None, addresses=None, length=None):
    if addresses is None:
        packed = ipaddress.ip_address(client).packed
        addresses = packed + packed + struct.pack("!HH", 40000, 443)
        family = family or (0x11 if len(packed) == 4 else 0x21)
    body = addresses + tlvs
    return SIGNATURE + struct.pack("!BBH", command, family or 0,
                                   len(body) if length is None else length) + body


def tlv(kind, data):
    return struct.pack("!BH", kind, len(data)) + data


def told(stage, header=b"", fields=(), source=PROXY, pieces=None):
    """What the origin is told about the client."""
    requests = stage.answer()
    with stage.connect(source=source, preface=pieces or [header]) as c:
        assert c.request("GET", "/x", fields=fields).body == b"ok"
    got, = requests
    return {name: got.all(name) for name in ("X-Forwarded-For", "X-Forwarded-Proto",
                                             "X-Forwarded-Host", "Forwarded")}


def ours(client):
    node = f'"[{client}]"' if ":" in client else client
    return {"X-Forwarded-For": [client], "X-Forwarded-Proto": ["https"],
            "X-Forwarded-Host": [PLAIN], "Forwarded": [f"for={node};proto=https"]}


# ---- fields -------------------------------------------------------------------------

@pytest.mark.parametrize("source,left", [(OTHER, []), (PROXY, ["x-forwarded-port"])])
def test_fields_that_look_like_ours(stage, source, left):
    """Others of the family are a proxy's to say; readers that take _ for - get none
    that they could take for ours."""
    requests = stage.answer()
    named = ["X_Forwarded_For", "x-forwarded_for", "X_FORWARDED-PROTO", "x-forwarded-port",
             "X-Forwarded", "X-Forward-For"]
    with stage.connect(source=source) as c:
        assert c.request("GET", "/", fields=[(n, "6.6.6.6") for n in named]).body == b"ok"
    got = [n.lower() for n, v in requests[0].fields if v == b"6.6.6.6"]
    assert [n.decode() for n in got] == [*left, "x-forwarded", "x-forward-for"]


@pytest.mark.parametrize("fields", [
    [], FALSE, [("X-Forwarded-For", "")],
    [*FALSE, ("Connection", "X-Forwarded-For, Forwarded, X-Forwarded-Host, X-Forwarded-Proto")],
], ids=["none", "false", "empty", "named by Connection"])
def test_what_an_untrusted_client_says_is_replaced(stage, fields):
    assert told(stage, fields=fields, source=OTHER) == ours(OTHER)


def test_what_a_trusted_proxy_says_is_added_to(stage):
    assert told(stage, fields=[
        ("X-Forwarded-For", "203.0.113.7, 198.51.100.1"), ("x-forwarded-for", "198.51.100.2"),
        ("X-Forwarded-Proto", "http"), ("X-Forwarded-Host", "www.shop.test"),
        ("Forwarded", 'for=203.0.113.7;proto=http, for="[2001:db8::1]"'),
    ]) == {
        "X-Forwarded-For": [f"203.0.113.7, 198.51.100.1, 198.51.100.2, {PROXY}"],
        "X-Forwarded-Proto": ["http"], "X-Forwarded-Host": ["www.shop.test"],
        "Forwarded": [f'for=203.0.113.7;proto=http, for="[2001:db8::1]", for={PROXY};proto=https'],
    }


def test_a_trusted_proxy_that_says_nothing(stage):
    assert told(stage) == ours(PROXY)


# ---- headers ------------------------------------------------------------------------

GOOD = {
    "v1 TCP4": (v1("203.0.113.7"), "203.0.113.7"),
    "v1 TCP6": (v1("2001:db8::7", "2001:db8::1"), "2001:db8::7"),
    "v1 longest": (v1("2001:db8:1111:2222:3333:4444:5555:6666",
                      "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff", "65535 65535"),
                   "2001:db8:1111:2222:3333:4444:5555:6666"),
    "v1 UNKNOWN": (b"PROXY UNKNOWN\r\n", PROXY),
    "v1 UNKNOWN with text": (b"PROXY UNKNOWN 203.0.113.7 1.2.3.4 1 2\r\n", PROXY),
    "v2 IPv4": (v2("203.0.113.7"), "203.0.113.7"),
    "v2 IPv6": (v2("2001:db8::7"), "2001:db8::7"),
    "v2 UDP": (v2("203.0.113.7", family=0x12), "203.0.113.7"),
    "v2 TLVs": (v2("203.0.113.7", tlvs=tlv(1, b"h2") + tlv(0x20, b"x" * 900) + tlv(4, b"")),
                "203.0.113.7"),
    "v2 LOCAL": (v2(command=0x20, addresses=b""), PROXY),
    "v2 LOCAL with bytes": (v2(command=0x20, addresses=b"whatever"), PROXY),
    "v2 UNSPEC": (v2(addresses=b"", family=0), PROXY),
    "v2 unix": (v2(addresses=b"\0" * 216, family=0x31), PROXY),
    "v2 largest": (v2("203.0.113.7", tlvs=tlv(4, b"\0" * (4096 - 16 - 12 - 3))), "203.0.113.7"),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_header_says_who_the_client_is(stage, name):
    header, client = GOOD[name]
    assert told(stage, header) == ours(client)


@pytest.mark.parametrize("name", ["v1 TCP4", "v1 longest", "v2 IPv6", "v2 TLVs"])
def test_a_header_byte_by_byte(stage, name):
    header, client = GOOD[name]
    assert told(stage, pieces=[header[i:i + 1] for i in range(len(header))]) == ours(client)


@pytest.mark.parametrize("name", ["v1 TCP4", "v2 TLVs"])
def test_a_header_in_one_segment_with_tls(stage, name):
    header, client = GOOD[name]
    requests = stage.answer()
    context = ssl.create_default_context(cafile=str(stage.stack.ca.pem))
    with socket.socket() as raw:
        raw.bind((PROXY, 0))
        raw.connect(("127.0.0.1", stage.stack.port))
        inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(inside, outside, server_hostname=PLAIN)
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        raw.sendall(header + outside.read())
        while True:
            inside.write(raw.recv(65536))
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.do_handshake()
                break
        tls.write(b"GET / HTTP/1.0\r\nHost: %s\r\n\r\n" % PLAIN.encode())
        raw.sendall(outside.read())
        while raw.recv(65536):
            pass
    assert requests[0].all("x-forwarded-for") == [client]


@pytest.mark.parametrize("name", ["v1 TCP4", "v1 TCP6", "v2 IPv4", "v2 IPv6"])
def test_a_client_behind_a_proxy_is_not_believed(stage, name):
    """The proxy speaks TCP: the fields are the client's own words."""
    header, client = GOOD[name]
    assert told(stage, header, FALSE) == ours(client)


@pytest.mark.parametrize("name", ["v1 UNKNOWN", "v2 UNSPEC", "v2 unix"])
def test_a_client_without_an_address_is_not_believed(stage, name):
    """The proxy speaks for somebody and does not say for whom."""
    assert told(stage, GOOD[name][0], FALSE) == ours(PROXY)


@pytest.mark.parametrize("header,client", [(v1(INNER), INNER), (v2("2001:db8:9::2"), "2001:db8:9::2")])
def test_a_trusted_proxy_behind_another_is_believed(stage, header, client):
    assert told(stage, header, [("X-Forwarded-For", "203.0.113.7")])["X-Forwarded-For"] == \
        [f"203.0.113.7, {client}"]


def test_the_proxy_itself_is_believed_in_its_own_name(stage):
    assert told(stage, GOOD["v2 LOCAL"][0], [("X-Forwarded-For", "203.0.113.7")])[
        "X-Forwarded-For"] == [f"203.0.113.7, {PROXY}"]


# ---- refusals -----------------------------------------------------------------------

BROKEN = {
    "no header": b"GET / HTTP/1.1\r\nHost: plain.relay.test\r\n\r\n",
    "lower case": b"proxy TCP4 203.0.113.7 127.0.0.1 1 2\r\n",
    "family": b"PROXY TCP5 203.0.113.7 127.0.0.1 1 2\r\n",
    "no port": b"PROXY TCP4 203.0.113.7 127.0.0.1 1\r\n",
    "more": b"PROXY TCP4 203.0.113.7 127.0.0.1 1 2 3\r\n",
    "two spaces": b"PROXY TCP4  203.0.113.7 127.0.0.1 1 2\r\n",
    "LF": b"PROXY TCP4 203.0.113.7 127.0.0.1 1 2\n",
    "a name": b"PROXY TCP4 localhost 127.0.0.1 1 2\r\n",
    "octal": b"PROXY TCP4 203.0.113.07 127.0.0.1 1 2\r\n",
    "port": b"PROXY TCP4 203.0.113.7 127.0.0.1 65536 2\r\n",
    "mixed": b"PROXY TCP4 2001:db8::7 127.0.0.1 1 2\r\n",
    "long": b"PROXY UNKNOWN " + b"x" * 100,
    "twice": v1("203.0.113.7") * 2,
    "v2 version": v2("203.0.113.7", command=0x11),
    "v2 command": v2("203.0.113.7", command=0x22),
    "v2 family": v2("203.0.113.7", family=0x41),
    "v2 transport": v2("203.0.113.7", family=0x13),
    "v2 short": v2(addresses=b"\0" * 11, family=0x11),
    "v2 TLV": v2("203.0.113.7", tlvs=b"\4\0\2x"),
    "v2 checksum": v2("203.0.113.7", tlvs=tlv(3, b"\0\0\0\0")),
    "v2 long": v2("203.0.113.7", tlvs=tlv(4, b"\0" * 4096)),
    "v2 signature": SIGNATURE[:-1] + b"\r" + v2("203.0.113.7")[12:],
}


def test_only_one_header(stage):
    """The one behind the first stands where TLS must begin."""
    requests = stage.answer()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        stage.connect(source=PROXY, preface=[BROKEN["twice"]])
    assert requests == []


@pytest.mark.parametrize("header", [v1("203.0.113.7"), v2("203.0.113.7"),
                                    GOOD["v2 LOCAL"][0], GOOD["v1 UNKNOWN"][0]])
def test_a_header_of_anybody_else_is_no_tls(stage, header):
    requests = stage.answer()
    with stage.one_more(f"handshake failed client={OTHER} reason=tls-error"), \
            pytest.raises((ssl.SSLError, ConnectionError)):
        stage.connect(source=OTHER, preface=[header])
    assert requests == [] and "client=203.0.113.7" not in stage.stack.logs()


@pytest.mark.parametrize("part", [b"", b"PROX", v1("203.0.113.7")[:-1], v2("203.0.113.7")[:20]])
def test_a_header_that_does_not_come(stage, part):
    """The deadline of the handshake covers it; hanging up is told at once."""
    with stage.one_more("in=handshake why=client-broke"), socket.socket() as raw:
        raw.bind((PROXY, 0))
        raw.connect(("127.0.0.1", stage.stack.port))
        raw.sendall(part)


def test_slow_headers_end_with_the_handshakes_deadline(stage):
    """Of four clients, one sends nothing and one has the header behind it."""
    timeouts = stage.stack.relayd.text().count("in=handshake why=handshake-timeout")
    with contextlib.ExitStack() as opened:
        clients = [opened.enter_context(socket.socket()) for _ in range(4)]
        whole = v1("203.0.113.7")
        for raw, part in zip(clients, (b"", whole[:1], whole[:-1], whole)):
            raw.settimeout(20)
            raw.bind((PROXY, 0))
            raw.connect(("127.0.0.1", stage.stack.port))
            raw.sendall(part)
        for raw in clients:
            assert raw.recv(1) == b""
    stage.stack.wait_log("in=handshake why=handshake-timeout", timeouts + 4)


def closed_without_a_word(stage, data, source=PROXY):
    with socket.socket() as raw:
        raw.settimeout(20)
        raw.bind((source, 0))
        raw.connect(("127.0.0.1", stage.stack.port))
        try:
            raw.sendall(data)
            raw.sendall(b"\x16\x03\x01")        # what would follow
            return raw.recv(65536) == b""
        except ConnectionError:
            return True


def test_broken_headers_are_closed_with_their_reason(stage):
    requests = stage.answer()
    closed = stage.stack.relayd.text().count("in=handshake why=client-broke")
    with stage.one_more("reason=proxy-header"):         # lines are limited by rate
        for name, data in BROKEN.items():
            if name == "twice":
                continue                # the second is no TLS
            assert closed_without_a_word(stage, data), name
    stage.stack.wait_log("in=handshake why=client-broke", closed + len(BROKEN) - 1)
    assert requests == []
    assert "203.0.113" not in stage.stack.logs().replace("client=203.0.113.7", "")


def test_a_proxy_is_served_after_all_that(stage):
    until("a good one", lambda: told(stage, v2("203.0.113.7")) == ours("203.0.113.7"))
