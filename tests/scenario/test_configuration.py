"""Configuration through Redis and without it: live at once, never worse than
before, every refusal named."""
import json
import os
import signal
import time

import pytest

from conftest import Redis, route, seal, stand_still, until

PAY = [seal("POST", "/pay", "$.card.number")]


def node(stack):
    values = stack.redis.cli("HVALS", "relay:nodes").splitlines()
    return json.loads(values[0]) if values and values[0] else {}


def test_hset_and_publish_is_live_on_all_workers_and_touches_no_connection(stack, origin):
    stack.relay("kept.test", origin, PAY)
    connections = [stack.connect("kept.test") for _ in range(8)]
    for c in connections:
        assert c.request("GET", "/bytes/1").body == b"x"
    worst = 0
    for i in range(10):
        host = f"h{i}.test"
        text = json.dumps(stack.relay_json(origin, PAY))
        start = time.monotonic()
        stack.push(host, text)
        for c in connections:           # both workers, over kept connections
            c.host = host
            until("live", lambda c=c: c.request("GET", "/bytes/1").status in (200, 421), 5)
            c.host = "kept.test"
        worst = max(worst, time.monotonic() - start)
    print(f"HSET + PUBLISH to 8 answers over 2 workers: worst {worst * 1000:.0f} ms")
    for c in connections:
        assert c.request("GET", "/bytes/1").body == b"x"
        c.close()


def test_update_and_hdel_apply_at_once(stack, origin):
    stack.relay("a.test", origin, PAY)
    stack.relay("b.test", origin, PAY)
    stack.relay("a.test", origin, [seal("POST", "/other", "$.x")])
    stack.post("a.test", "/pay", b'{"card":{"number":"1"}}')
    assert b'"1"' in origin.last().body         # no longer sealed by that route
    stack.redis.cli("HDEL", "relay:relays", "a.test")
    stack.redis.cli("PUBLISH", "relay:updates", "relay:relays a.test")
    until("a.test is gone", lambda: stack.get("a.test").code == "relay-not-found")
    assert stack.get("b.test").status == 200


def test_hset_alone_is_enough_with_keyspace_notifications(make_stack, origin):
    stack = make_stack(redis_options=("--notify-keyspace-events", "Kh"))
    stack.redis.cli("-x", "HSET", "relay:relays", "quiet.test",
                    data=json.dumps(stack.relay_json(origin, PAY)))
    until("live", lambda: stack.get("quiet.test").status == 200)


def test_any_other_message_means_compare_everything(stack, origin):
    stack.redis.cli("-x", "HSET", "relay:relays", "any.test",
                    data=json.dumps(stack.relay_json(origin, PAY)) + "\n")
    stack.redis.cli("PUBLISH", "relay:updates", "what ever this is")
    until("live", lambda: stack.get("any.test").status == 200)


@pytest.mark.parametrize("host,change,where", [
    ("bad1.test", {"nonsense": 1}, "nonsense"),
    ("bad2.test", {"authentication": "password"}, "authentication"),
    ("Bad3.Test", {}, ""),
    ("bad4.test", "not json", ""),
    ("bad5.test", {"routes": [{"path": "/", "request": [{"action": "redact", "selections": [
        {"selector": "$.a"}]}]}]}, "routes[0].request[0].action"),
])
def test_bad_records_are_named_and_the_old_one_stays(stack, origin, host, change, where):
    good = stack.relay(host.lower(), origin, PAY)
    text = change if isinstance(change, str) else json.dumps({**json.loads(good), **change})
    stack.push(host, text)
    key = f"relay:relays {host}"
    fault = until("the fault is reported", lambda: [
        e for e in node(stack).get("errors", []) if host in e["key"]])[0]
    assert where in fault["path"] and fault["reason"]
    assert "4111" not in json.dumps(fault), key
    reply = stack.post(host.lower(), "/pay", b'{"card":{"number":"1"}}')
    assert reply.status == 200 and b"ev:QkTC" in origin.last().body
    until("relayctl status says so too", lambda: any(
        host in e["key"] for e in stack.feed().get("errors", [])))
    if host == host.lower():            # mended: the report clears
        stack.push(host, good)
        until("report is clear", lambda: not node(stack).get("errors"))


def test_flushall_and_feed_restart_leave_every_relay_serving(stack, origin):
    hosts = [f"s{i}.test" for i in range(5)]
    for h in hosts:
        stack.relay(h, origin, PAY)
    stack.redis.cli("FLUSHALL")
    pid = stack.child("feed")
    os.kill(pid, signal.SIGKILL)
    until("feed restarted", lambda: stack.child("feed") not in (None, pid))
    until("the deletion is held", lambda: stack.feed().get("pending_delete") == 5)
    for h in hosts:
        assert stack.get(h).status == 200
    stack.ctl("sync", "--accept")
    for h in hosts:
        until(f"{h} is gone", lambda h=h: stack.get(h).code == "relay-not-found")


def test_a_gap_is_compared(stack, origin):
    """Changes made while the feed is down are seen when it is back."""
    stack.relay("one.test", origin, PAY)
    stack.relay("two.test", origin, PAY)
    stack.relay("three.test", origin, PAY)
    stack.relay("four.test", origin, PAY)
    pid = stack.child("feed")
    stand_still(pid)
    stack.redis.cli("HDEL", "relay:relays", "one.test")
    stack.push("five.test", json.dumps(stack.relay_json(origin, PAY)))
    os.kill(pid, signal.SIGKILL)
    until("five is live", lambda: stack.get("five.test").status == 200)
    until("one is gone", lambda: stack.get("one.test").status == 404)
    assert stack.get("two.test").status == 200


def test_without_redis(make_stack, origin):
    stack = make_stack(redis=False)
    assert stack.get("x.test").code == "relay-not-found"        # an empty map is in sync
    text = stack.relay("x.test", origin, PAY)
    assert stack.get("x.test").status == 200
    assert json.loads(stack.ctl("relay", "get", "x.test").stdout) == json.loads(text)
    assert b"x.test" in stack.ctl("relay", "list").stdout
    r = stack.ctl("relay", "put", "y.test", "-", data=b'{"app":1}', code=2)
    assert b"app" in r.stderr
    stack.relayd.end()
    stack.start()
    assert stack.get("x.test").status == 200                    # kept over a restart
    stack.ctl("relay", "rm", "x.test")
    assert stack.get("x.test").code == "relay-not-found"


def test_relay_put_with_redis_writes_redis(stack, origin):
    text = json.dumps(stack.relay_json(origin, PAY))
    stack.ctl("relay", "put", "put.test", "-", data=text.encode())
    assert stack.get("put.test").status == 200
    assert json.loads(stack.redis.cli("HGET", "relay:relays", "put.test")) == json.loads(text)
    stack.ctl("relay", "rm", "put.test")
    assert stack.redis.cli("HEXISTS", "relay:relays", "put.test") in ("0", "(integer) 0")


def test_replica_with_a_write_endpoint(make_stack, origin, tmp_path):
    primary = Redis(tmp_path, None, "--repl-diskless-sync-delay", 0)
    try:
        stack = make_stack(redis_options=("--replicaof", "127.0.0.1", primary.port),
                           conf=f'redis_write = "127.0.0.1:{primary.port}"\n',
                           e3_conf=f'redis_write = "127.0.0.1:{primary.port}"\n')
        text = json.dumps(stack.relay_json(origin, PAY))
        until("the replica follows",
              lambda: "master_link_status:up" in stack.redis.cli("INFO", "replication"))
        primary.cli("-x", "HSET", "relay:relays", "r.test", data=text)
        primary.cli("PUBLISH", "relay:updates", "relays r.test")
        until("live from the replica", lambda: stack.get("r.test").status == 200)
        until("reported to the primary",
              lambda: "digest" in primary.cli("HVALS", "relay:nodes"))
    finally:
        primary.end()


def test_readonly_replica_stops_reporting_not_the_feed(make_stack, origin, tmp_path):
    primary = Redis(tmp_path, None, "--repl-diskless-sync-delay", 0)
    try:
        stack = make_stack(redis_options=("--replicaof", "127.0.0.1", primary.port))
        until("the replica follows",
              lambda: "master_link_status:up" in stack.redis.cli("INFO", "replication"))
        primary.cli("-x", "HSET", "relay:relays", "r.test",
                    data=json.dumps(stack.relay_json(origin, PAY)))
        primary.cli("PUBLISH", "relay:updates", "relays r.test")
        until("live", lambda: stack.get("r.test").status == 200)
    finally:
        primary.end()


def test_acl_user_and_password_file(make_stack, origin, tmp_path):
    secret = tmp_path / "redis.pass"
    secret.write_text("s3cret-words\n")
    stack = make_stack(start=False, conf=f'redis_user = "relay"\nredis_password_file = "{secret}"\n',
                       e3_conf=f'redis_user = "relay"\nredis_password_file = "{secret}"\n')
    stack.redis.cli("ACL", "SETUSER", "relay", "on", ">s3cret-words", "~relay:*", "&*", "+@all")
    stack.start()
    stack.relay("acl.test", origin, PAY)
    assert stack.get("acl.test").status == 200
    assert "s3cret-words" not in stack.logs()


def test_many_records(stack, origin):
    text = json.dumps(stack.relay_json(origin, PAY))
    script = ("for i=1,3000 do redis.call('HSET','relay:relays','m'..i..'.test',ARGV[1]) end "
              "redis.call('PUBLISH','relay:updates','all')")
    stack.redis.cli("EVAL", script, "0", text)
    until("all are in the map", lambda: stack.feed().get("relays") == 3000)
    assert stack.get("m3000.test").status == 200
    assert route("GET", "/x")["path"] == "/x"


def test_redis_over_tls(make_stack, origin, tmp_path, ca):
    pem, key = ca.leaf("redis-server", ["127.0.0.1", "localhost"])
    from conftest import free_port
    port = free_port()
    options = (f'redis = {{ "127.0.0.1:{port}" }}\nredis_tls = true\n'
               f'redis_ca_file = "{ca.pem}"\n')
    stack = make_stack(redis=False, start=False, conf=options, e3_conf=options)
    tls = stack.own(Redis(tmp_path, None, "--tls-port", port, "--tls-cert-file", pem,
                          "--tls-key-file", key, "--tls-ca-cert-file", ca.pem,
                          "--tls-auth-clients", "no"))
    stack.start()
    tls.cli("-x", "HSET", "relay:relays", "tls.test", data=json.dumps(stack.relay_json(origin, PAY)))
    tls.cli("PUBLISH", "relay:updates", "relays tls.test")
    until("live", lambda: stack.get("tls.test").status == 200)
    app = stack.app()[0]
    until("replicated", lambda: tls.cli("HEXISTS", "relay:apps", app).endswith("1"))


def test_sentinel_follows_a_failover(make_stack, origin, tmp_path):
    from conftest import Process, free_port
    for name in ("one", "two", "sentinel"):
        (tmp_path / name).mkdir()
    one = Redis(tmp_path / "one", None, "--repl-diskless-sync-delay", 0)
    two = Redis(tmp_path / "two", None, "--replicaof", "127.0.0.1", one.port)
    until("the replica follows", lambda: "master_link_status:up" in two.cli("INFO", "replication"))
    port = free_port()
    conf = tmp_path / "sentinel/sentinel.conf"
    conf.write_text(f"port {port}\nbind 127.0.0.1\ndir {tmp_path}/sentinel\n"
                    f"sentinel monitor relay 127.0.0.1 {one.port} 1\n"
                    "sentinel down-after-milliseconds relay 300\n"
                    "sentinel failover-timeout relay 3000\n")
    sentinel = Process("sentinel", ["redis-server", conf, "--sentinel"], tmp_path)
    try:
        options = f'redis = {{ "127.0.0.1:{port}" }}\nredis_sentinel = "relay"\n'
        stack = make_stack(redis=False, start=False, conf=options, e3_conf=options)
        stack.start()
        text = json.dumps(stack.relay_json(origin, PAY))
        one.cli("-x", "HSET", "relay:relays", "first.test", data=text)
        one.cli("PUBLISH", "relay:updates", "relays first.test")
        until("live", lambda: stack.get("first.test").status == 200)
        until("the replica has it", lambda: two.cli("HLEN", "relay:relays").endswith("1"))
        one.end(signal.SIGKILL)
        until("the replica was promoted", lambda: "role:master" in two.cli("INFO", "replication"), 60)
        two.cli("-x", "HSET", "relay:relays", "second.test", data=text)
        two.cli("PUBLISH", "relay:updates", "relays second.test")
        until("the feed follows the new master", lambda: stack.get("second.test").status == 200, 60)
        assert stack.get("first.test").status == 200
    finally:
        for p in (sentinel, one, two):
            if p.alive():
                p.end()
