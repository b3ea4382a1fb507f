"""relayd: its options, signals and exit codes, what its children are born with,
and what they may no longer do."""
import grp
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import tempfile

import pytest

from conftest import (CA, PREFIX, Connection, Origin, Process, Stack, free_port, pid_gone, route,
                      sanitizer_check, stand_still, until)
from load import CARD, Load, no_plaintext

SBIN = PREFIX / "sbin"
PAY = [route("POST", "/pay", encrypt=["$.card.number"], decrypt=["$..*"])]
CHILDREN = ["e3-helper", "e3d", "feed", "worker1", "worker2"]


def relayd(*words, **options):
    return subprocess.run([str(SBIN / "relayd"), *map(str, words)], capture_output=True, text=True,
                          check=False, timeout=60, **options)


def last_error(r):
    """The text of the last line, which says why."""
    assert r.stderr.endswith("\n") and r.stdout == "", r
    return r.stderr.splitlines()[-1].split(" ", 4)[4]


@pytest.fixture
def files(make_stack):
    """An installation that was never started."""
    return make_stack(start=False)


@pytest.fixture
def loaded(stack, origin):
    stack.relay("shop.test", origin, PAY)
    assert stack.post("shop.test", "/pay", b'{"card":{"number":"1"}}').status == 200
    return stack


def rewrite(path, old, new):
    text = path.read_text()
    assert old in text, old
    path.write_text(text.replace(old, new))


# ---- options --------------------------------------------------------------------------

def test_version_and_help():
    r = relayd("-V")
    assert r.returncode == 0 and re.fullmatch(r"relayd \d+\.\d+\.\d+\n", r.stdout)
    r = relayd("-h")
    assert r.returncode == 0 and r.stdout.startswith("usage: relayd ") and r.stderr == ""


@pytest.mark.parametrize("words", [["-x"], ["extra"], ["-c"], ["-r", "worker"], ["--test"]])
def test_bad_usage_exits_2(words):
    r = relayd(*words)
    assert r.returncode == 2 and r.stdout == "" and r.stderr


@pytest.mark.parametrize("program", ["relay-worker", "relay-feed", "e3d", "e3-helper"])
def test_the_other_programs_say_that_relayd_starts_them(program):
    r = subprocess.run([str(SBIN / program)], capture_output=True, text=True, check=False)
    assert r.returncode == 2 and "relayd" in r.stderr
    r = subprocess.run([str(SBIN / program), "-V"], capture_output=True, text=True, check=False)
    assert r.returncode == 0 and re.fullmatch(rf"{program} \d+\.\d+\.\d+\n", r.stdout)


# ---- -t -------------------------------------------------------------------------------

def test_check_of_a_good_configuration_starts_nothing(files):
    conf = files.dir / "relay.conf"
    r = relayd("-t", "-c", conf)
    assert (r.returncode, r.stdout) == (0, f"{conf}: good\n")
    assert list(files.run.iterdir()) == [] and not (files.dir / "relay").exists()
    r = relayd("-t", "-c", "relay.conf", cwd=files.dir)
    assert (r.returncode, r.stdout) == (0, f"{conf}: good\n")


@pytest.mark.parametrize("old,new,says", [
    ("workers = 2", "workers = 99999", "{conf}:{line}: option 'workers': 99999 is above 512"),
    ("workers = 2", "workers = 2\ndrain_timeout_ms = 99",
     "{conf}:{next}: option 'drain_timeout_ms': 99 is below 100"),
    ("workers = 2", "workers = two", "{conf}:{line}: invalid integer value for option 'workers'"),
    ("workers = 2", "wrkers = 2", "{conf}:{line}: no such option 'wrkers'"),
    ("workers = 2", "workers = 2\nworkers = 3", "{conf}:{next}: option 'workers' is given twice"),
    ('"debug"', '"loud"',
     "{conf}:{line}: option 'log_level': must be error, warn, info or debug"),
    ('address = "127.0.0.1:', 'address = "localhost:',
     "{conf}:{line}: option 'address': not an IP address"),
    ('listen "ingress"', 'listen "egres"',
     "{conf}: listen \"egres\": not one of ingress, egress, egress-plain, egress-strict, api, "
     "api-tls and ca"),
    ("map_group = \"\"", "map_group = \"no-such-group\"",
     "{conf}: option 'map_group': there is no group 'no-such-group'"),
    ("worker_user = \"\"", "worker_user = \"no-such-user\"",
     "{conf}: user 'no-such-user' of relay-worker does not exist: create it, or set the option "
     "to \"\""),
])
def test_check_names_file_line_option_and_bound(files, old, new, says):
    if "no-such" in new and os.geteuid() != 0:
        pytest.skip("users and groups count only for root")
    conf = files.dir / "relay.conf"
    text = conf.read_text()
    at = text.index(old)
    line = text.count("\n", 0, at) + 1
    conf.write_text(text[:at] + new + text[at + len(old):])
    r = relayd("-t", "-c", conf)
    assert r.returncode == 2
    assert last_error(r) == says.format(conf=conf, line=line, next=line + 1)


def test_check_names_faults_of_e3_conf(files):
    conf = files.dir / "e3.conf"
    good = conf.read_text()
    conf.write_text(good + "threads = 100000\n")
    line = good.count("\n") + 1
    r = relayd("-t", "-c", files.dir / "relay.conf")
    assert r.returncode == 2
    assert last_error(r) == f"{conf}:{line}: option 'threads': 100000 is above 512"


def test_check_reads_certificates_keys_and_ca_files(files, ca):
    conf = files.dir / "relay.conf"
    good, (chain, key) = conf.read_text(), map(str, files.cert)
    other_key = ca.leaf("other", ["other.test"])[1]
    section = f"relay-worker -t: {conf}: certificate 'default' "
    for old, new, says in [
            (chain, "/nonexistent.pem", "/nonexistent.pem: No such file or directory"),
            (chain, str(conf), f"{section}({conf}, {key}): no certificate"),
            (key, str(other_key), f"{section}({chain}, {other_key}): key values mismatch"),
            (key, chain, f"{section}({chain}, {chain}): no private key, or it is encrypted"),
            (str(files.ca.pem), "/nonexistent.pem", f"relay-worker -t: {conf}: option "
             "'upstream_ca_file': /nonexistent.pem cannot be read"),
            (str(files.ca.pem), str(conf),
             f"relay-worker -t: {conf}: option 'upstream_ca_file': {conf}: ")]:
        conf.write_text(good.replace(f'"{old}"', f'"{new}"'))
        r = relayd("-t", "-c", conf)
        assert r.returncode == 2 and last_error(r).startswith(says), (new, r.stderr)


def test_check_guards_the_root_key_and_link_files(files):
    conf, root = files.dir / "relay.conf", files.dir / "root.key"
    root.chmod(0o440)
    r = relayd("-t", "-c", conf)
    assert (r.returncode, last_error(r)) == (
        2, f"{root}: others may read it (mode 440): it must be 0400")
    root.chmod(0o600)
    root.write_bytes(b"x" * 31)
    r = relayd("-t", "-c", conf)
    assert (r.returncode, last_error(r)) == (2, f"{root}: a root key has 32 bytes, this file 31")
    root.unlink()
    assert last_error(relayd("-t", "-c", conf)) == f"{root}: No such file or directory"
    root.write_bytes(b"x" * 32)
    root.chmod(0o400)
    for role in ("worker", "feed", "engine", "helper"):
        key = files.dir / f"link/{role}.key"
        key.chmod(0o644)
        r = relayd("-t", "-c", conf)
        assert (r.returncode, last_error(r)) == (
            2, f"{key}: others may read it (mode 644): chmod 600")
        key.chmod(0o600)
    assert relayd("-t", "-c", conf).returncode == 0
    (files.dir / "link/engine.key").unlink()
    r = relayd("-t", "-c", conf)
    assert (r.returncode, last_error(r)) == (
        2, f"{files.dir}/link/engine.key: No such file or directory")


# ---- start ----------------------------------------------------------------------------

def test_a_taken_port_is_named_and_exits_4(files):
    with socket.create_server(("127.0.0.1", files.port)):
        p = files.launch()
        assert p.wait() == 4
    assert f"cannot listen on 127.0.0.1:{files.port}: the address is taken by another process" in (
        p.text().splitlines()[-1])


def test_an_address_that_is_not_ours_exits_4(files):
    rewrite(files.dir / "relay.conf", f"127.0.0.1:{files.port}", f"192.0.2.1:{files.port}")
    p = files.launch()
    assert p.wait() == 4
    assert f"cannot listen on 192.0.2.1:{files.port}: " in p.text().splitlines()[-1]


def test_a_second_relayd_exits_3_and_touches_nothing(loaded):
    before = loaded.pids()
    r = relayd("-f", "-c", loaded.dir / "relay.conf")
    assert (r.returncode, last_error(r)) == (3, f"{loaded.run}: another relayd is running there")
    assert loaded.pids() == before
    assert loaded.post("shop.test", "/pay", b'{"card":{"number":"2"}}').status == 200


class Daemon:
    """relayd without -f: known by its pid file only."""

    def __init__(self, stack):
        self.stack = stack
        self.log = stack.dir / "relay.log"
        conf = stack.dir / "relay.conf"
        conf.write_text(conf.read_text() + f'log_file = "{self.log}"\n')

    def start(self):
        """Everything it printed comes back: nobody holds the pipe open."""
        return relayd("-c", "relay.conf", cwd=self.stack.dir)

    def pid(self):
        return int((self.stack.run / "relayd.pid").read_text())

    def end(self, sig=signal.SIGTERM):
        pids = [self.pid(), *self.stack.pids().values()]
        os.kill(pids[0], sig)
        for pid in pids:
            until(f"pid {pid} is gone", lambda pid=pid: pid_gone(pid))


def test_daemon_returns_when_it_serves(files, origin):
    daemon = Daemon(files)
    r = daemon.start()
    try:
        assert r.returncode == 0 and "error" not in r.stderr, r.stderr
        assert files.status()["pid"] == daemon.pid()
        assert os.getsid(daemon.pid()) == daemon.pid() and not pid_gone(daemon.pid())
        for fd in (0, 1, 2):
            assert os.readlink(f"/proc/{daemon.pid()}/fd/{fd}") == "/dev/null"
        assert os.readlink(f"/proc/{daemon.pid()}/cwd") == "/"
        files.wait_ready()
        files.relay("shop.test", origin, PAY)
        assert files.post("shop.test", "/pay", b'{"card":{"number":"1"}}').status == 200
        assert "generation-serves" in daemon.log.read_text()
        r = daemon.start()
        assert r.returncode == 3 and "another relayd is running there" in r.stderr
    finally:
        daemon.end()
    assert not (files.run / "relayd.pid").exists()


def test_daemon_that_cannot_listen_says_so_where_it_was_started(files):
    daemon = Daemon(files)
    with socket.create_server(("127.0.0.1", files.port)):
        r = daemon.start()
    assert r.returncode == 4
    assert f"cannot listen on 127.0.0.1:{files.port}" in r.stderr
    assert f"relayd did not start: see also {daemon.log}" in r.stderr
    assert f"cannot listen on 127.0.0.1:{files.port}" in daemon.log.read_text()
    assert files.status() == {}


def test_daemon_whose_workers_never_serve_exits_5(files, ca):
    """The certificate does not fit its key: workers end, again and again."""
    rewrite(files.dir / "relay.conf", str(files.cert[1]), str(ca.leaf("o", ["o.test"])[1]))
    daemon = Daemon(files)
    r = daemon.start()
    assert r.returncode == 5, r.stderr
    assert f"relayd did not start: see also {daemon.log}" in r.stderr
    log = daemon.log.read_text()
    assert "key values mismatch" in log and "not ready after 30 s" in log
    assert files.status() == {} and not (files.run / "relayd.pid").exists()


@pytest.mark.parametrize("abstract", [False, True])
def test_service_manager_is_told(files, tmp_path, abstract):
    name = f"@relay-{os.getpid()}-{files.port}" if abstract else f"{files.run}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind("\0" + name[1:] if abstract else name)
        s.settimeout(30)
        files.relayd = files.own(Process(
            "relayd", [SBIN / "relayd", "-f", "-c", files.dir / "relay.conf"], files.dir,
            env={**os.environ, "NOTIFY_SOCKET": name}))
        ready = s.recv(4096).decode().split("\n")
        assert ready == ["READY=1", f"MAINPID={files.relayd.pid}", "STATUS=generation 1 serves"]
        assert files.get("nobody.test").status in (404, 503)    # it serves
        files.relayd.kill(signal.SIGHUP)
        assert s.recv(4096).startswith(b"RELOADING=1\n")
        assert s.recv(4096) == b"READY=1\nSTATUS=generation 2 serves"
        rewrite(files.dir / "relay.conf", "workers = 2", "workers = 0x")
        files.relayd.kill(signal.SIGHUP)
        assert s.recv(4096).startswith(b"RELOADING=1\n")
        refused = s.recv(4096).decode()
        assert refused.startswith("READY=1\nSTATUS=reload refused, generation 2 serves: ")
        assert "option 'workers'" in refused
        files.relayd.kill(signal.SIGTERM)
        assert s.recv(4096) == b"STOPPING=1"


def test_children_never_see_the_notify_socket(files):
    files.relayd = files.own(Process(
        "relayd", [SBIN / "relayd", "-f", "-c", files.dir / "relay.conf"], files.dir,
        env={**os.environ, "NOTIFY_SOCKET": "/nonexistent", "SECRET_OF_ROOT": "x"}))
    files.wait_ready()
    for name, pid in files.pids().items():
        words = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        assert b"NOTIFY_SOCKET" not in words and b"SECRET_OF_ROOT" not in words, name


def test_engine_alone(make_stack):
    """-r e3: no certificate, no port, no worker, no feed."""
    stack = make_stack(start=False)
    rewrite(stack.dir / "relay.conf", str(stack.cert[0]), "/nonexistent.pem")
    for words in (["-t"], ["-f"]):
        argv = [SBIN / "relayd", *words, "-r", "e3", "-c", stack.dir / "relay.conf"]
        stack.relayd = stack.own(Process("relayd", argv, stack.dir))
        if words == ["-t"]:
            assert stack.relayd.wait() == 0
    stack.wait_ready()
    assert sorted(stack.pids()) == ["e3-helper", "e3d"]
    assert sorted(p.name for p in stack.run.iterdir()) == [
        "e3.sock", "helper.sock", "relayd.lock", "relayd.pid", "relayd.sock"]
    app, key = stack.app()
    token = stack.ctl("encrypt", "--app", app, data=b"value").stdout
    assert stack.ctl("decrypt", "--api-key", key, data=token).stdout == b"value\n"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", stack.port))
    stack.ctl("reload", "--wait")
    assert stack.status()["generation"] == 2


# ---- signals --------------------------------------------------------------------------

def test_usr1_opens_the_log_file_again_in_every_process(make_stack):
    stack = make_stack(start=False)
    conf, log = stack.dir / "relay.conf", stack.dir / "relay.log"
    conf.write_text(conf.read_text() + f'log_file = "{log}"\n')
    stack.start()
    assert "generation-serves" in log.read_text()
    old = log.rename(stack.dir / "relay.log.1")
    stack.relayd.kill(signal.SIGUSR1)
    until("the new file is there", lambda: log.exists() and "log-reopened" in log.read_text())
    # What is said from here on, by a child too, is in the new file.
    key = stack.app()[0]
    until("a worker writes there", lambda: stack.get("nobody.test").status == 404 and
          re.search(r" worker\d ", log.read_text()))
    assert f"app={key}" in log.read_text() and f"app={key}" not in old.read_text()
    at = old.stat().st_size
    stack.ctl("reload", "--wait")
    assert old.stat().st_size == at and "generation=2" in log.read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o640


def test_hup_adds_and_removes_an_address_while_others_keep_serving(loaded, origin):
    conf = loaded.dir / "relay.conf"
    good, second = conf.read_text(), free_port()
    both = good.replace(f'"127.0.0.1:{loaded.port}"',
                        f'{{ "127.0.0.1:{second}", "127.0.0.1:{loaded.port}" }}')

    def get(path):
        with Connection(second, loaded.ca.pem, "shop.test") as c:
            return c.request("GET", path).status

    with Load(loaded, fresh=True) as load:
        load.wait_right(10)
        conf.write_text(both)
        loaded.relayd.kill(signal.SIGHUP)
        until("generation 2", lambda: loaded.status().get("generation") == 2)
        assert get("/x") == 200
        load.wait_right(10)
        with Connection(second, loaded.ca.pem, "shop.test") as c:
            c.send(c.head("GET", "/delay/1500", []))
            until("the origin has it", lambda: any(b"/delay/" in s.raw for s in origin.seen()))
            conf.write_text(good)
            loaded.relayd.kill(signal.SIGHUP)
            assert c.reply().status == 200      # it was accepted: it is served
        until("generation 3", lambda: loaded.status().get("generation") == 3)
        until("the old workers left", lambda: len(loaded.pids("worker")) == 2)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", second))
        load.wait_right(10)
    assert load.wrong == [] and set(load.counts) == {"right"}, load.counts
    no_plaintext(origin)


def test_hup_with_a_taken_new_address_is_refused(loaded):
    conf = loaded.dir / "relay.conf"
    good, second = conf.read_text(), free_port()
    conf.write_text(good.replace(f'"127.0.0.1:{loaded.port}"',
                                 f'{{ "127.0.0.1:{loaded.port}", "127.0.0.1:{second}" }}'))
    with socket.create_server(("127.0.0.1", second)):
        r = loaded.ctl("reload", "--wait", code=1)
    assert f"cannot listen on 127.0.0.1:{second}: ".encode() in r.stderr
    assert loaded.status()["generation"] == 1
    loaded.ctl("reload", "--wait")          # free now
    with Connection(second, loaded.ca.pem, "shop.test") as c:
        assert c.request("GET", "/x").status == 200


def test_workers_come_and_go_with_the_configuration(loaded):
    conf = loaded.dir / "relay.conf"
    good = conf.read_text()
    for n in (3, 1):
        conf.write_text(good.replace("workers = 2", f"workers = {n}"))
        loaded.ctl("reload", "--wait")
        until(f"{n} workers", lambda n=n: len(loaded.pids("worker")) == n)
        assert loaded.post("shop.test", "/pay", b'{"card":{"number":"1"}}').status == 200


@pytest.fixture
def own_programs(make_stack):
    """An installation that runs copies of the programs, which may be replaced."""
    stack = make_stack(start=False)
    sbin = stack.dir / "sbin"
    shutil.copytree(SBIN, sbin)
    stack.relayd = stack.own(Process(
        "relayd", [sbin / "relayd", "-f", "-c", stack.dir / "relay.conf"], stack.dir))
    stack.wait_ready()
    return stack


def replace_program(path, source):
    shutil.copy(source, f"{path}.new")
    os.rename(f"{path}.new", path)


def test_usr2_upgrades_under_load(own_programs, origin):
    stack = own_programs
    stack.relay("shop.test", origin, PAY)
    program, relayd_pid, old = stack.dir / "sbin/relayd", stack.relayd.pid, stack.pids()
    for name in ("relayd", "relay-worker", "relay-feed", "e3d", "e3-helper"):
        replace_program(stack.dir / "sbin" / name, SBIN / name)
    assert os.readlink(f"/proc/{relayd_pid}/exe").endswith("(deleted)")
    with Load(stack, fresh=True) as load:
        load.wait_right(20)
        stack.relayd.kill(signal.SIGUSR2)
        for name, pid in old.items():
            until(f"old {name} left", lambda pid=pid: pid_gone(pid))
        stack.wait_ready()
        load.wait_right(50)
    assert load.wrong == [] and set(load.counts) == {"right"}, load.counts
    assert os.readlink(f"/proc/{relayd_pid}/exe") == str(program)
    status = stack.status()
    assert status["pid"] == relayd_pid and status["generation"] == 2
    assert sorted(stack.pids()) == CHILDREN
    for pid in stack.pids().values():
        assert not os.readlink(f"/proc/{pid}/exe").endswith("(deleted)")
    stack.ctl("reload", "--wait")           # it is a whole relayd
    no_plaintext(origin)


def test_usr2_with_a_broken_program_or_file_changes_nothing(own_programs):
    stack = own_programs
    before, program, conf = stack.pids(), stack.dir / "sbin/relayd", stack.dir / "relay.conf"
    broken = stack.dir / "broken"
    broken.write_text("#!/bin/sh\necho this is not it >&2\nexit 1\n")
    broken.chmod(0o755)
    replace_program(program, broken)
    stack.relayd.kill(signal.SIGUSR2)
    stack.wait_log('upgrade refused why="this is not it"')
    replace_program(program, SBIN / "relayd")
    rewrite(conf, "workers = 2", "workers = 0x")
    stack.relayd.kill(signal.SIGUSR2)
    stack.wait_log("upgrade refused", count=2)
    rewrite(conf, "workers = 0x", "workers = 2")
    assert stack.pids() == before and stack.status()["generation"] == 1
    stack.ctl("reload", "--wait")


# ---- listening sockets ------------------------------------------------------------------

def listening(stack):
    """name -> inode of every socket that this installation listens on."""
    found = {}
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        port = int(words[1].split(":")[1], 16)
        if words[3] == "0A" and port in (stack.port, stack.e3_port):
            found["ingress" if port == stack.port else "e3.tcp"] = int(words[9])
    for line in pathlib.Path("/proc/net/unix").read_text().splitlines()[1:]:
        words = line.split()
        if len(words) == 8 and words[7].startswith(f"{stack.run}/") and words[3] == "00010000":
            found[pathlib.Path(words[7]).name] = int(words[6])
    return found


def targets(pid):
    """What the descriptors of a process are."""
    out = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            out[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:
            pass                # closed meanwhile
    return out


def test_each_listening_socket_is_one_and_only_where_it_belongs(stack):
    sockets = listening(stack)
    holders = {"relayd": stack.relayd.pid, **stack.pids()}
    held = {name: {s for s, inode in sockets.items() if f"socket:[{inode}]" in
                   targets(pid).values()} for name, pid in holders.items()}
    assert held == {
        "relayd": {"ingress", "e3.tcp", "e3.sock", "relayd.sock", "feed.sock", "feed-worker.sock",
                   "helper.sock"},
        "worker1": {"ingress"}, "worker2": {"ingress"}, "feed": {"feed.sock", "feed-worker.sock"},
        "e3d": {"e3.sock", "e3.tcp"}, "e3-helper": {"helper.sock"}}


def test_a_client_that_waits_is_served_by_the_other_worker(loaded):
    """Both workers stand still, the clients wait; one of them dies."""
    workers = list(loaded.pids("worker").values())
    stand_still(*workers)
    clients = [socket.create_connection(("127.0.0.1", loaded.port)) for _ in range(8)]
    try:
        os.kill(workers[0], signal.SIGKILL)
        until("one is dead", lambda: pid_gone(workers[0]))
    finally:
        os.kill(workers[1], signal.SIGCONT)
    context = ssl.create_default_context(cafile=str(loaded.ca.pem))
    context.check_hostname = False
    for raw in clients:
        raw.settimeout(30)
        with context.wrap_socket(raw, server_hostname="shop.test") as c:
            c.sendall(b"GET /x HTTP/1.1\r\nHost: shop.test\r\n\r\n")
            assert c.recv(4096).startswith(b"HTTP/1.1 200 ")


# ---- what children are born with ------------------------------------------------------------

WITNESS = """#!/usr/bin/python3 -IS
import json, os, sys
fds = {}
for n in os.listdir("/proc/self/fd"):
    try:
        fds[n] = os.readlink("/proc/self/fd/" + n)
    except OSError:
        pass
out = os.open("%(out)s/%(name)s." + str(os.getpid()), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
os.write(out, json.dumps({"argv": sys.argv, "fds": fds, "env": dict(os.environ)}).encode())
os.close(out)
os.execv("%(real)s", sys.argv)
"""
LINK = ["link.cert", "link.key", "link.ca"]
BORN_WITH = {
    "relay-worker": ["control", "panic", "conf", "listen.0", "tickets", "cert.0", "key.0", *LINK],
    "relay-feed": ["control", "panic", "conf", "admin", "worker", *LINK],
    "e3d": ["control", "panic", "engine.unix", "engine.tcp", "root", *LINK],
    "e3-helper": ["control", "panic", "conf", "admin", *LINK],
}


def test_children_inherit_exactly_what_is_listed(files):
    """A witness in the place of each program looks before the program does."""
    sbin, out = files.dir / "sbin", files.dir / "born"
    out.mkdir()
    sbin.mkdir()
    shutil.copy(SBIN / "relayd", sbin)
    for name in BORN_WITH:
        (sbin / name).write_text(WITNESS % {"out": out, "name": name, "real": SBIN / name})
        (sbin / name).chmod(0o755)
    foreign = os.open(files.dir / "foreign", os.O_RDWR | os.O_CREAT)
    os.set_inheritable(foreign, True)
    with open(files.dir / "relayd.out", "ab") as f:
        popen = subprocess.Popen([str(sbin / "relayd"), "-f", "-c", str(files.dir / "relay.conf")],
                                 stdout=f, stderr=f, stdin=subprocess.DEVNULL, pass_fds=[foreign])
    try:
        files.wait_ready()
        assert os.readlink(f"/proc/{popen.pid}/fd/{foreign}") == str(files.dir / "foreign")
        sockets = {f"socket:[{inode}]": name for name, inode in listening(files).items()}
        born = [json.loads(p.read_text()) | {"program": p.name.split(".")[0]}
                for p in out.iterdir()]
    finally:
        os.close(foreign)
        popen.terminate()
        popen.wait(30)
    assert sorted(b["program"] for b in born) == ["e3-helper", "e3d", "relay-feed", "relay-worker",
                                                  "relay-worker"]
    link = {"relay-worker": "worker", "relay-feed": "feed", "e3d": "engine", "e3-helper": "helper"}
    for b in born:
        listed = dict(w.split("=") for w in b["env"]["RELAY_FDS"].split(":"))
        assert sorted(listed) == sorted(BORN_WITH[b["program"]])
        assert sorted(map(int, b["fds"])) == list(range(3 + len(listed))), b
        what = {name: b["fds"][fd] for name, fd in listed.items()}
        folder = files.dir / "link"
        expected = {"link.key": f"{folder}/{link[b['program']]}.key",
                    "link.cert": f"{folder}/{link[b['program']]}.pem",
                    "link.ca": f"{folder}/ca.pem", "root": f"{files.dir}/root.key",
                    "cert.0": str(files.cert[0]), "key.0": str(files.cert[1])}
        for name, target in what.items():
            if name in expected:
                assert target == expected[name]
            elif name in ("conf", "panic", "tickets"):
                assert target.startswith("/memfd:"), (name, target)
            else:
                assert target.startswith("socket:"), (name, target)
        assert {sockets[t] for t in what.values() if t in sockets} == {
            "relay-worker": {"ingress"}, "relay-feed": {"feed.sock", "feed-worker.sock"},
            "e3d": {"e3.sock", "e3.tcp"}, "e3-helper": {"helper.sock"}}[b["program"]]
        assert set(b["env"]) <= {"RELAY_FDS", "PATH", "TZ", "ASAN_OPTIONS", "LSAN_OPTIONS",
                                 "UBSAN_OPTIONS", "LC_CTYPE"}


def test_no_running_child_holds_a_key_file(stack):
    """Certificates and keys are read once and closed; so is the root key."""
    stack.app()
    for name, pid in stack.pids().items():
        for target in targets(pid).values():
            assert not target.endswith((".key", ".pem")), (name, target)
            assert "relayd.lock" not in target and "relay.conf" not in target, (name, target)
            if name.startswith("e3d"):
                assert not target.startswith(f"{stack.dir}/e3"), target


# ---- users ----------------------------------------------------------------------------------

USERS = {"worker": "nobody", "feed": "daemon", "e3d": "bin", "e3-helper": "games"}
MAP_GROUP, ADMIN_GROUP = "users", "operator"


@pytest.fixture
def separated():
    """Each role under a user of its own, in a folder that all of them can reach."""
    if os.geteuid() != 0:
        pytest.skip("only root can give roles users of their own")
    for name in USERS.values():
        if name not in {p.pw_name for p in pwd.getpwall()}:
            pytest.skip(f"there is no user {name} here")
    for name in (MAP_GROUP, ADMIN_GROUP):
        if name not in {g.gr_name for g in grp.getgrall()}:
            pytest.skip(f"there is no group {name} here")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="relay-users."))
    folder.chmod(0o755)
    ca = CA(folder / "ca")
    stack = Stack(folder, ca, start=False)
    stack.run.chmod(0o755)
    conf = folder / "relay.conf"
    for option, value in [("worker_user", USERS["worker"]), ("feed_user", USERS["feed"]),
                          ("engine_user", USERS["e3d"]), ("helper_user", USERS["e3-helper"]),
                          ("admin_group", ADMIN_GROUP), ("map_group", MAP_GROUP)]:
        rewrite(conf, f'{option} = ""', f'{option} = "{value}"')
    shutil.copytree(SBIN, folder / "sbin")
    stack.relayd = stack.own(Process("relayd", [folder / "sbin/relayd", "-f", "-c", conf], folder))
    origin = stack.own(Origin(folder, ca))
    try:
        stack.wait_ready()
        yield stack, origin
        errors = []
        sanitizer_check(stack, errors)
        assert not errors, "\n".join(errors)
    finally:
        stack.stop()
        shutil.rmtree(folder)


def proc_status(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.split() for name, value in (line.split(":", 1) for line in lines)}


def may(role, test, path):
    """`test -r PATH` and the like, as the user of a role."""
    user = pwd.getpwnam(USERS[role])
    group = user.pw_gid if role in ("e3d", "e3-helper") else grp.getgrnam(MAP_GROUP).gr_gid
    return subprocess.run(["/usr/bin/test", test, str(path)], check=False, user=user.pw_uid,
                          group=group, extra_groups=[]).returncode == 0


def owner(path):
    s = path.stat()
    return (stat.S_IMODE(s.st_mode), pwd.getpwuid(s.st_uid).pw_name,
            grp.getgrgid(s.st_gid).gr_name)


def test_each_role_has_its_user_and_no_privilege(separated):
    stack, origin = separated
    stack.relay("shop.test", origin, PAY)
    body = b'{"card":{"number":"4111111111111111"}}'
    assert stack.post("shop.test", "/pay", body).body == body
    no_plaintext(origin)
    map_gid = str(grp.getgrnam(MAP_GROUP).gr_gid)
    for name, pid in stack.pids().items():
        user = pwd.getpwnam(USERS[name.rstrip("12")])
        status = proc_status(pid)
        assert set(status["Uid"]) == {str(user.pw_uid)}, name
        gid = str(user.pw_gid) if name in ("e3d", "e3-helper") else map_gid
        assert set(status["Gid"]) == {gid}, name
        assert status["Groups"] == ([map_gid] if name == "e3-helper" else []), name
        for field in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[field][0], 16) == 0, (name, field)
        assert status["NoNewPrivs"] == ["1"], name

    relay, run = stack.dir / "relay", stack.run
    assert owner(relay) == (0o750, USERS["feed"], MAP_GROUP)
    maps = {p.name: owner(p) for p in relay.rglob("*.mdb")}
    assert maps == {"data.mdb": (0o640, USERS["feed"], MAP_GROUP),
                    "lock.mdb": (0o660, USERS["feed"], MAP_GROUP)}
    for folder in [p for p in relay.rglob("*") if p.is_dir()]:
        assert owner(folder) == (0o750, USERS["feed"], MAP_GROUP)
    for name in ("relayd.sock", "feed.sock", "helper.sock"):
        assert owner(run / name) == (0o660, "root", ADMIN_GROUP), name
    assert owner(run / "e3.sock") == (0o660, "root", MAP_GROUP)
    assert owner(stack.dir / "e3") == (0o700, USERS["e3-helper"], "games")

    data, = relay.rglob("data.mdb")
    record, = (stack.dir / "e3").glob("*.rec")
    assert may("worker", "-r", data) and not may("worker", "-w", data)
    assert not may("worker", "-w", data.parent)
    for role in ("worker", "feed", "e3d"):
        assert not may(role, "-r", record) and not may(role, "-r", record.parent), role
    for role in USERS:
        for secret in ("root.key", "link/worker.key", "link/engine.key", "link/admin.key",
                       "link/ca.key"):
            assert not may(role, "-r", stack.dir / secret), (role, secret)
        assert not may(role, "-w", run) and not may(role, "-w", stack.dir), role
        for name in ("relayd.sock", "feed.sock", "helper.sock"):
            assert not may(role, "-w", run / name), (role, name)
    for role in ("e3d", "e3-helper"):
        assert not may(role, "-r", data), role


def test_separated_roles_are_born_again_alike(separated):
    """After a crash and after a reload nobody has more than before."""
    stack, origin = separated
    stack.relay("shop.test", origin, PAY)
    for name in ("worker1", "feed", "e3d", "e3-helper"):
        pid = stack.child(name)
        os.kill(pid, signal.SIGKILL)
        until(f"{name} runs again", lambda name=name, pid=pid: stack.child(name) not in (None, pid))
    stack.wait_ready()
    stack.ctl("reload", "--wait")
    body = json.dumps({"card": {"number": CARD}}).encode()
    until("sealing works", lambda: stack.post("shop.test", "/pay", body).body == body)
    no_plaintext(origin)
    for name, pid in stack.pids().items():
        uid = pwd.getpwnam(USERS[name.rstrip("12")]).pw_uid
        assert proc_status(pid)["Uid"][0] == str(uid)
        assert int(proc_status(pid)["CapEff"][0], 16) == 0
