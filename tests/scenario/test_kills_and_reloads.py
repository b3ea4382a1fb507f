"""Everything at once: kill -9 of a random process each 300 ms and reloads
between, under load.  Peers: TLS clients that check every answer, one
installation, the demo origin.  Requests may be refused or cut, never answered
wrongly; nothing reaches the origin open; service comes back without help."""
import contextlib
import os
import random
import signal
import threading

from conftest import pid_gone, route, until
from load import Load, no_plaintext

PAY = [route("POST", "/pay", encrypt=["$.card.number"], decrypt=["$..*"])]
ALLOWED = {"right", "cut", "engine-unavailable", "not-ready"}
ROUNDS = 30
STROKE_S = 0.3


def kill_something(stack, rng):
    """A child, or in one of ten cases relayd itself, which is started again."""
    if rng.random() < 0.1:
        stack.relayd.kill(signal.SIGKILL)
        stack.relayd.wait()
        stack.start(wait=False)
        return "relayd"
    children = stack.pids()
    if not children:
        return None         # a new relayd that does not answer yet
    name = rng.choice(sorted(children))
    with contextlib.suppress(ProcessLookupError):
        os.kill(children[name], signal.SIGKILL)
    return name


def test_kills_and_reloads_under_load(stack, origin):
    stack.relay("shop.test", origin, PAY)
    rng = random.Random(10)
    killed, born = [], set()
    with Load(stack, n=3) as load:
        load.wait_right(20)
        for number in range(ROUNDS):
            born.update(stack.pids().values())
            killed.append(kill_something(stack, rng))
            if number % 5 == 4:
                # A relayd that starts or has a worker missing may refuse.
                stack.ctl("reload", code=None)
            threading.Event().wait(STROKE_S)        # the beat of the fault
        stack.wait_ready()
        load.wait_right(100)
    assert len({k for k in killed if k}) >= 5, killed
    assert load.wrong == []
    assert set(load.counts) <= ALLOWED, load.counts
    no_plaintext(origin)

    # Whole again: a reload, a new record, a new app.
    stack.ctl("reload", "--wait")
    stack.relay("new.test", origin, PAY, app="new")
    assert stack.get("new.test", "/x").status == 200
    until("no process of an old generation is left",
          lambda: all(pid_gone(pid) for pid in born - set(stack.pids().values())), 40)
