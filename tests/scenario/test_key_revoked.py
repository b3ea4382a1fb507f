"""What lives long on an API key ends with it: a blind tunnel, a WebSocket through
egress, one through a relay that asks for keys.  Peers: WebSocket clients, one
installation, a WebSocket origin; an engine that stands still."""
import contextlib
import json

import pytest

import websocket
from conftest import Cut, running, stopped, until
from egress_stage import EgressStack, allow
from scripted_origin import ScriptedOrigin
from websocket import BINARY, frame, read_frame

KEYED = "keyed.relay.test"
KINDS = ["blind tunnel", "egress", "egress, key inside", "ingress"]
END_S = 30          # a second until workers know, a second until they look; and a slow machine
CONF = 'egress_pass_through = { "127.0.0.1" }\nengine_timeout_ms = 2500\n'


class Echo(ScriptedOrigin):
    """Echoes frames; `ends`: the paths of the connections that ended."""

    def __init__(self, ca):
        self.ends = []
        super().__init__(ca, self.echo)

    def echo(self, peer):
        head = peer.head()
        try:
            peer.send(websocket.switch(head))
            while True:
                opcode, data = read_frame(peer.take)
                peer.send(frame(data, opcode))
        finally:
            self.ends.append(head.split(b" ")[1].decode())


@pytest.fixture(scope="module")
def stage(tmp_path_factory, ca):
    with running(tmp_path_factory.mktemp("stack"), ca, EgressStack, conf=CONF, workers=1) as s:
        s.echo = Echo(ca)
        s.relay(KEYED, s.echo, authentication="api-key")
        allow(s, {"destinations": [{"host": h, "port": s.echo.port}
                                   for h in ("127.0.0.1", "localhost")]})
        yield s
        s.echo.close()
        assert s.echo.faults == []


def new_key(stage, kind):
    """Good for this alone."""
    scope = "relay" if kind == "ingress" else "egress"
    key = json.loads(stage.ctl("key", "create", stage.app()[0], "--scope", scope, "--json").stdout)
    return key["key"], key["secret"]


def revoke(stage, name):
    stage.ctl("key", "revoke", stage.app()[0], name)


def connect(stage, kind, key):
    """(client, Host, its fields): the way to the origin."""
    at = f":{stage.echo.port}"
    if kind == "ingress":
        return stage.connect(KEYED), KEYED, [b"api-key: " + key.encode()]
    if kind == "blind tunnel":
        return stage.tunnel("127.0.0.1" + at, key=key), "127.0.0.1" + at, []
    if kind == "egress":
        return stage.tunnel("localhost" + at, key=key), "localhost" + at, []
    return (stage.tunnel("localhost" + at), "localhost" + at,
            [b"Proxy-Authorization: " + key.encode()])


@contextlib.contextmanager
def living(stage, kind, key, path):
    client, host, fields = connect(stage, kind, key)
    with client as c:
        c.send(websocket.request(host.encode(), path.encode(), None, *fields))
        assert c._one("GET").status == 101
        answers(c)
        yield c


def answers(c):
    c.send(frame(b"hello", BINARY, mask=True))
    assert read_frame(c.take) == (BINARY, b"hello")
    return True


def has_ended(c):
    try:
        return not answers(c)
    except (EOFError, OSError, Cut):
        return True


@pytest.mark.parametrize("kind", KINDS)
def test_it_ends_with_its_key_and_others_live_on(stage, kind):
    (name, key), (_, other) = new_key(stage, kind), new_key(stage, kind)
    mine = [f"/{KINDS.index(kind)}/{i}" for i in range(3)]
    with (living(stage, kind, key, mine[0]) as a, living(stage, kind, key, mine[1]) as b,
          living(stage, kind, other, mine[2]) as c):
        # A key that changes ends nothing by that.
        revoke(stage, new_key(stage, kind)[0])
        assert answers(a) and answers(b) and answers(c)
        with stage.logs_more(f"tunnel ended why=key-revoked app={stage.app()[0]} key={name}", 2):
            revoke(stage, name)
            for ended in (a, b):
                until("it has ended", lambda ended=ended: has_ended(ended), END_S)
        until("the origin's side has ended", lambda: set(mine[:2]) <= set(stage.echo.ends))
        assert answers(c)
        assert mine[2] not in stage.echo.ends
    assert key not in stage.logs() and other not in stage.logs()


def test_an_engine_that_is_silent_ends_nothing(stage):
    """And what was revoked meanwhile is seen when it is back."""
    lives = [new_key(stage, kind) for kind in KINDS]
    paths = [f"/silent/{i}" for i in range(len(KINDS))]
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(living(stage, kind, key, path))
                   for kind, (_, key), path in zip(KINDS, lives, paths, strict=True)]
        with stopped(stage.child("e3d")):
            # A caller who is told after engine_timeout_ms: they were looked at meanwhile.
            for _ in range(2):
                assert stage.get(KEYED, fields=[("api-key", "new")]).code == "engine-unavailable"
            assert all(answers(c) for c in clients)
        until("the engine is back", lambda: stage.get(
            KEYED, fields=[("api-key", "new")]).code == "unauthorized")
        assert all(answers(c) for c in clients)
        assert not set(paths) & set(stage.echo.ends)
        for i, (name, _) in enumerate(lives):
            revoke(stage, name)
            until("it has ended", lambda c=clients[i]: has_ended(c), END_S)
            assert all(answers(c) for c in clients[i + 1:])
    assert "was revoked or has ended" in stage.logs()
    assert "not good for this any more" not in stage.logs(), "the wrong scope was asked for"
