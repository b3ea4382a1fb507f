"""Several engines.  Peers: an installation with an engine of its own, a second
`relayd -r e3` with the same keys that announces itself in the same Redis, and
clients whose requests all carry secrets of their own.  Workers find the second
engine without a reload; whichever drains, dies or goes, no request fails."""
import os
import shutil
import signal

import pytest

from conftest import PREFIX, Process, route, stopped, until
from faults import fault_load                                           # noqa: F401
from rpc_client import connect

PAY = [route("POST", "/pay", encrypt=["$.card.number"], decrypt=["$..*"])]


class Other:
    """relayd -r e3 elsewhere, with the keys of a stack and in its Redis."""

    def __init__(self, make_stack, stack, name="e3-b"):
        self.stack = make_stack(start=False, redis=False)
        for folder in ("link", "e3"):
            shutil.rmtree(self.stack.dir / folder, ignore_errors=True)
            shutil.copytree(stack.dir / folder, self.stack.dir / folder)
        (self.stack.dir / "root.key").unlink()
        shutil.copy(stack.dir / "root.key", self.stack.dir / "root.key")
        self.address = f"127.0.0.1:{self.stack.e3_port}"
        self.name = name
        self.stack.extra_e3 = (f'name = "{name}"\nannounce = "{self.address}"\n'
                               f'redis = {{ "127.0.0.1:{stack.redis.port}" }}\n')
        self.stack.write_conf()

    def start(self):
        s = self.stack
        s.relayd = s.own(Process(f"relayd-{self.name}", [
            PREFIX / "sbin/relayd", "-f", "-r", "e3", "-c", s.dir / "relay.conf"], s.dir))
        until("the other engine runs", lambda: s.child("e3d"))

    def kill_all(self):
        """The machine is gone."""
        pids = [self.stack.relayd.pid, *self.stack.pids().values()]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.stack.relayd.popen.wait(10)


def known(stack, n):
    """Engines that the map announces to workers."""
    until(f"{n} announced engines are in the map", lambda: stack.feed().get("engines") == n, 30)


def ready_in_workers(stack, other, times=1):
    """Each worker has it; `times`: as often as that since its start."""
    stack.wait_log(f"engine ready engine={other.address}", count=2 * times)


def sealed(stack):
    with connect(stack) as link:
        return link.call("GetStatistics")["fields_sealed"]


def set_draining(stack, on):
    with connect(stack, "helper") as link:
        link.call("SetDraining", {"on": on})


@pytest.fixture
def two(stack, origin, make_stack):
    """(stack, the other engine, origin): the workers know both."""
    stack.relay("shop.test", origin, PAY)
    other = Other(make_stack, stack)
    known(stack, 0)
    other.start()
    known(stack, 1)
    ready_in_workers(stack, other)
    return stack, other, origin


def at_rest(load, stack):
    """What it had sealed when the last call that was under way there had ended."""
    for _ in range(20):
        before = sealed(stack)
        load.wait_right(10)
        if sealed(stack) == before:
            return before
    raise AssertionError("calls still come")


def test_a_draining_engine_is_left_and_used_again(two, fault_load):
    stack, other, origin = two
    with fault_load("engine-drains", stack, origin) as load:
        load.wait_right(20)
        assert sealed(stack) > 0
        with stack.logs_more(f"engine drains engine=unix:{stack.run}/e3.sock", 2):
            set_draining(stack, True)
        load.struck()
        here, there = at_rest(load, stack), sealed(other.stack)
        load.recovered(30)  # counted from the blow: all of them may lie before `there`
        load.wait_right(30)
        assert sealed(stack) == here
        assert sealed(other.stack) >= there + 30
        # Both drain: somebody must do it.
        set_draining(other.stack, True)
        load.wait_right(30)
        set_draining(stack, False)
        stack.wait_log(f"engine drains no more engine=unix:{stack.run}/e3.sock", 2)
        there = at_rest(load, other.stack)
        load.wait_right(30)
        assert sealed(other.stack) == there


def test_the_own_engine_dies_and_an_announced_one_does_its_work(two, fault_load):
    stack, other, origin = two
    with fault_load("kill9-own-engine-of-two", stack, origin) as load:
        for _ in range(3):
            load.wait_right(20)
            pid = stack.child("e3d")
            os.kill(pid, signal.SIGKILL)
            load.struck()
            load.recovered()
            until("e3d is back", lambda pid=pid: stack.child("e3d") not in (None, pid))
    assert sealed(other.stack) > 0


def test_an_announced_engine_dies_with_its_machine(two, fault_load):
    """Its own one drains, so that the work is there when kill -9 comes; and its
    announcement, which nobody takes back, expires."""
    stack, other, origin = two
    set_draining(stack, True)
    with fault_load("kill9-announced-engine", stack, origin) as load:
        load.wait_right(20)
        until("the work is there", lambda: sealed(other.stack) > 20)
        other.kill_all()
        load.struck()
        load.recovered()
        known(stack, 0)
        stack.wait_log(f"engine let go engine={other.address}", 2)
        load.wait_right(20)


def says(stack, **members):
    helper = stack.status().get("helper") or {}
    return all(helper.get(name) == value for name, value in members.items())


def test_an_engine_that_hangs_is_not_called_ready(two):
    """Its kernel takes every call, and nothing answers: it is silent, then its link is
    given up and its announcement runs out.  Going on, it needs nobody's help."""
    stack, other, _ = two
    there = other.stack
    with stopped(there.child("e3d")):
        until("it is said to be silent", lambda: says(there, ready=False, engine="silent"))
        why = there.ctl("status", "--wait", 0, code=1).stderr
        assert b"the engine does not answer" in why
        known(stack, 0)
        there.wait_log("engine link lost in=ready why=calls in flight and no progress")
        until("it is said to be down", lambda: says(there, ready=False, engine="down"))
        why = there.ctl("status", "--wait", 0, code=1).stderr
        assert b"the engine does not answer" in why
        assert stack.status()["helper"]["engine"] == "up"
    there.ctl("status", "--wait", 30)
    known(stack, 1)
    ready_in_workers(stack, other, 2)


def test_an_engine_that_hangs_for_a_moment_keeps_its_link(two):
    stack, other, _ = two
    there = other.stack
    with stopped(there.child("e3d")):
        until("it is said to be silent", lambda: says(there, ready=False, engine="silent"))
    until("it is ready again", lambda: says(there, ready=True, engine="up"))
    assert "engine link lost" not in there.relayd.text()
    known(stack, 1)


def test_an_announced_engine_that_stops_takes_its_leave(two, fault_load):
    """Drained as by an upgrade: it says so, the workers go elsewhere and close
    their links, which is what it waits for."""
    stack, other, origin = two
    with fault_load("announced-engine-stops", stack, origin) as load:
        for turn in range(1, 3):
            set_draining(stack, True)
            stack.wait_log(f"engine drains engine=unix:{stack.run}/e3.sock", 2 * turn)
            before = sealed(other.stack)
            until("the work is there", lambda before=before: sealed(other.stack) > before + 20)
            set_draining(stack, False)
            stack.wait_log(f"engine drains no more engine=unix:{stack.run}/e3.sock", 2 * turn)
            other.stack.relayd.end(signal.SIGQUIT)
            load.struck()
            known(stack, 0)
            stack.wait_log(f"engine let go engine={other.address}", 2 * turn)
            load.recovered()
            other.start()
            known(stack, 1)
            ready_in_workers(stack, other, turn + 1)
    assert other.stack.relayd.text().count("drain time is over") == 0


def test_without_redis_the_engines_that_were_known_stay(two, fault_load):
    stack, other, origin = two
    with fault_load("engines-without-redis", stack, origin) as load:
        load.wait_right(20)
        with stack.logs_more("redis lost"):
            stack.redis.end(signal.SIGKILL)
        os.kill(stack.child("e3d"), signal.SIGKILL)
        load.struck()
        load.recovered()
        assert stack.feed()["engines"] == 1
    assert sealed(other.stack) > 0


def test_announced_engines_are_not_used_when_conf_says_no(make_stack, origin):
    stack = make_stack(conf="engine_announced = false\n")
    other = Other(make_stack, stack)
    other.start()
    until("it is announced", lambda: stack.redis.cli("SCARD", "relay:engines") == "2")
    stack.redis.cli("PUBLISH", "relay:updates", "engines x")
    stack.relay("shop.test", origin, PAY)       # the hint before it was read too
    assert stack.feed()["engines"] == 0
    assert stack.post("shop.test", "/pay", b'{"card":{"number":"1"}}').status == 200
    assert other.address not in stack.relayd.text()
