"""What the scenarios of faults share: a load in the background in which every
request carries secrets of its own, and the line that each fault prints:

    fault=NAME requests=N wrong=0 leaks=0 errors=N recover_ms=N p99_ms=N [kind=N...]

wrong: an answer that is not what was sent, a token that opens to another
value, a request that the origin got twice.  leaks: secrets in what the origin
saw or in a log.  Both are asserted to be 0.  errors: refused or cut, by kind.
recover_ms: from struck() to the first of an unbroken row of right answers, or
to what the scenario waits for."""
import collections
import contextlib
import json
import re
import time

import pytest

import token_codec
from conftest import until
from load import CARD, Load
from scripted_origin import ScriptedOrigin

OPENED_MAX = 300        # requests whose tokens are opened: Python is slow at it
PAUSE_S = 0.02          # after a refusal, which may come at once


class MarkedLoad(Load):
    """origins: where requests may go.  allowed: how they may end but right.
    pace_s: a client's rest after each, for faults that last."""

    def __init__(self, name, stack, origins, say, allowed=(), pace_s=0, **options):
        super().__init__(stack, **options)
        self.pace_s = pace_s
        self.name, self.say, self.allowed = name, say, {"right", *allowed}
        self.origins = [(o, size(o), len(requests(o))) for o in origins]
        self.log_from = len(stack.logs())
        self.ends = []          # (end, start, outcome)
        self.t_struck = self.t_started = time.monotonic()
        self.recover_ms = None
        self.leaks = 0
        self.notes = {}         # what else the line shall say

    def __exit__(self, kind, *rest):
        super().__exit__(kind, *rest)
        self.check_origins()
        self.leaks += self.stack.logs()[self.log_from:].count(CARD)
        self.say(self.report())
        if kind is None:
            assert self.wrong == []
            assert self.leaks == 0, "plaintext"
            assert set(self.counts) <= self.allowed, self.counts

    # -- the requests --

    def secrets(self, who, i):
        return [f"{CARD}-{self.name}-{who}-{i}-{which}" for which in "ab"]

    def body(self, who, i):
        return json.dumps({"card": {"number": self.secrets(who, i)}, "load": self.name,
                           "who": who, "i": i}).encode()

    def ended(self, start, outcome):
        super().ended(start, outcome)
        self.ends.append((time.monotonic(), start, outcome))
        self.stopping.wait(self.pace_s if outcome == "right" else max(self.pace_s, PAUSE_S))

    # -- faults --

    def struck(self):
        """Recovery is counted from now: the blow fell, or was taken back."""
        self.t_struck = time.monotonic()

    def row(self):
        """The last right answers without another outcome between them."""
        n = 0
        for _, start, outcome in reversed(self.ends):
            if outcome != "right" or start < self.t_struck:
                break
            n += 1
        return n

    def recovered(self, more=20, seconds=60):
        until(f"{self.name}: {more} right answers in a row ({dict(self.counts)})",
              lambda: self.row() >= more, seconds)
        first = self.ends[-self.row()]
        self.recover_ms = round((first[0] - self.t_struck) * 1000)

    def mended(self):
        """Recovered is what is not seen in answers: from struck() to now."""
        self.recover_ms = round((time.monotonic() - self.t_struck) * 1000)

    def outcomes(self, after, before):
        """Of the requests that lay between two moments as a whole."""
        return collections.Counter(o for end, start, o in self.ends
                                   if start >= after and end <= before)

    # -- the judgement --

    def check_origins(self):
        count = collections.Counter()
        mine = []
        for origin, at, first in self.origins:
            self.leaks += raw(origin)[at:].count(CARD.encode())
            for body in requests(origin)[first:]:
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    sent = json.loads(body)
                    if sent["load"] == self.name:
                        count[sent["who"], sent["i"]] += 1
                        mine.append(sent)
        self.wrong += [f"the origin got {k} {n} times" for k, n in count.items() if n > 1]
        if mine:
            self.check_tokens(mine[::1 + len(mine) // OPENED_MAX])

    def check_tokens(self, sent):
        keys = self.stack.app_keys()
        for request in sent:
            for token, secret in zip(request["card"]["number"],
                                     self.secrets(request["who"], request["i"])):
                try:
                    value = token_codec.open_token(token, keys)[1]
                except (ValueError, AssertionError):
                    value = b"nothing"
                if value != secret.encode():
                    self.wrong.append(f"{token!r} opens to {value!r}")

    def percentile(self, share):
        took = sorted(end - start for end, start, outcome in self.ends if outcome == "right")
        return round(took[int((len(took) - 1) * share)] * 1000) if took else "-"

    def report(self):
        errors = {k: n for k, n in self.counts.items() if k not in ("right", "wrong")}
        kinds = "".join(f" {k}={n}" for k, n in [*sorted(errors.items()), *self.notes.items()])
        return (f"fault={self.name} requests={sum(self.counts.values())} wrong={len(self.wrong)} "
                f"leaks={self.leaks} errors={sum(errors.values())} "
                f"recover_ms={'-' if self.recover_ms is None else self.recover_ms} "
                f"p99_ms={self.percentile(0.99)}{kinds}")


# ---- what an origin saw: the demo origin keeps a log, a scripted one a list ----------

def raw(origin):
    if isinstance(origin, ScriptedOrigin):
        return b"".join(head + body for head, body in origin.requests)
    return origin.raw_log()


def size(origin):
    return len(raw(origin))


def requests(origin):
    if isinstance(origin, ScriptedOrigin):
        return [body for _, body in origin.requests]
    return [seen.body for seen in origin.seen()]


@pytest.fixture
def fault_load(record_property):
    """fault_load(name, stack, origin..., allowed=...): with it, requests run; its
    line is shown at the end, also when the test passes."""
    def say(line):
        record_property("measured", line)

    def make(name, stack, *origins, **options):
        return MarkedLoad(name, stack, origins, say, **options)
    make.say = say
    return make


# ---- faults of several scenarios -----------------------------------------------------

def use_engines(stack, *addresses):
    """From now on the workers ask these."""
    conf = stack.dir / "relay.conf"
    those = ", ".join(f'"{a}"' for a in addresses)
    conf.write_text(re.sub(r"(?m)^engine = .*$", f"engine = {{ {those} }}", conf.read_text()))
    stack.ctl("reload", "--wait")
