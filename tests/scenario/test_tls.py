"""TLS on both sides: versions, names, tickets shared by all workers, ALPN, and
the destination's handshake beside the body."""
import socket
import ssl
import threading

import pytest

from conftest import Origin, route, tokens_in
from scripted_origin import OK

PAY = [route("POST", "/pay", encrypt=["$.card.number"], decrypt=["$..*"])]


@pytest.fixture(scope="module")
def served(shared, tmp_path_factory, ca):
    origin = Origin(tmp_path_factory.mktemp("origin"), ca)
    shared.relay("tls.relay.test", origin, PAY)
    yield shared
    origin.end()


def handshake(stack, name="localhost", session=None, context=None, **options):
    if context is None:
        context = ssl.create_default_context(cafile=str(stack.ca.pem))
        for key, value in options.items():
            setattr(context, key, value)
    raw = socket.create_connection(("127.0.0.1", stack.port), 10)
    return context.wrap_socket(raw, server_hostname=name, session=session)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_serve(served, version):
    with handshake(served, maximum_version=version, minimum_version=version) as s:
        s.sendall(b"GET /x HTTP/1.1\r\nHost: tls.relay.test\r\nConnection: close\r\n\r\n")
        assert s.recv(12) == b"HTTP/1.1 200"


def test_older_versions_are_refused(served):
    context = ssl.create_default_context(cafile=str(served.ca.pem))
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        handshake(served, context=context)


@pytest.mark.parametrize("offer,chosen", [(["http/1.1"], "http/1.1"), (["h2", "http/1.1"], "http/1.1"),
                                          (["http 1.1"], None), (["h2"], None), ([], None)])
def test_an_alpn_list_that_misses_is_ignored(served, offer, chosen):
    context = ssl.create_default_context(cafile=str(served.ca.pem))
    if offer:
        context.set_alpn_protocols(offer)
    with handshake(served, context=context) as s:
        assert s.selected_alpn_protocol() == chosen


def test_tickets_of_one_worker_open_at_every_worker(served):
    """With two workers a session resumes whoever takes the next connection."""
    context = ssl.create_default_context(cafile=str(served.ca.pem))
    context.maximum_version = ssl.TLSVersion.TLSv1_2    # the session is there at once
    with handshake(served, context=context) as s:
        session = s.session
    assert session.has_ticket
    for _ in range(24):
        with handshake(served, context=context, session=session) as s:
            assert s.session_reused


def test_truncated_client_hello_and_plain_http_are_dropped_quietly(served):
    for data in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b""):
        with socket.create_connection(("127.0.0.1", served.port), 10) as raw:
            raw.sendall(data)
            raw.shutdown(socket.SHUT_WR)
            while raw.recv(1000):
                pass
    assert served.get("tls.relay.test", "/x").status == 200


def keep_answering(peer):
    while True:
        peer.request()
        peer.send(OK)


def answer_once(peer):
    peer.request()
    peer.send(OK)


def test_the_destinations_handshake_starts_before_the_body_is_read(served, scripted):
    destination = scripted(keep_answering)
    served.relay("early.relay.test", destination, PAY)
    body = b'{"card":{"number":"1"}}'
    with served.connect("early.relay.test") as c:
        c.send(c.head("POST", "/pay", [("Content-Type", "application/json"),
                                       ("Content-Length", len(body))]))
        assert destination.shaken.wait(20), "no handshake before the body"
        assert destination.requests == []
        c.send(body)
        assert c.reply().status == 200
    (_, sealed), = destination.requests
    assert len(tokens_in(sealed)) == 1


def test_connections_to_the_destination_are_reused_and_sessions_resume(served, scripted):
    leaving = threading.Event()

    def script(peer):
        answer_once(peer)
        while not leaving.is_set():
            answer_once(peer)
    destination = scripted(script)
    served.relay("pool.relay.test", destination, PAY)
    with served.connect("pool.relay.test") as c:        # one worker
        for _ in range(20):
            assert c.request("GET", "/x").status == 200
    assert len(destination.reused) == 1
    leaving.set()
    with served.connect("pool.relay.test") as c:
        for _ in range(6):
            assert c.request("GET", "/x").status == 200
    assert any(destination.reused[1:]), destination.reused


def test_an_idle_connection_that_was_closed_is_not_used(served, scripted):
    """The check before reuse, and one retry: no request is lost at a keep-alive border."""
    destination = scripted(answer_once)
    served.relay("border.relay.test", destination, PAY)
    with served.connect("border.relay.test") as c:
        for _ in range(30):
            assert c.request("GET", "/x").status == 200
    assert len(destination.requests) == 30
