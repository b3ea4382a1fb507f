"""Clients that never stop: each request ends in a right answer, an error code
or a cut connection, and which one it was is counted."""
import collections
import json
import ssl
import threading
import time

from conftest import Connection, TOKEN

CARD = "4111111111111111"


class Load:
    """n threads posting to host/path; the origin's answer must come back open.
    fresh: a connection for each request, so that none is cut for being idle."""

    def __init__(self, stack, host="shop.test", path="/pay", n=4, fresh=False):
        self.stack, self.host, self.path, self.fresh = stack, host, path, fresh
        self.counts = collections.Counter()
        self.wrong = []
        self.longest_s = 0
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True)
                        for i in range(n)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for t in self.threads:
            t.join(60)
            assert not t.is_alive(), "a request hangs"

    def run(self, number):
        c, i = None, 0
        while not self.stopping.is_set():
            i += 1
            body = self.body(number, i)
            start = time.monotonic()
            try:
                c = c or Connection(self.stack.port, self.stack.ca.pem, self.host)
                reply = c.request("POST", self.path, body)
                outcome = self.judge(reply, body)
                if reply.closed or self.fresh:
                    c.close()
                    c = None
            except (OSError, EOFError, ssl.SSLError, AssertionError) as e:
                if isinstance(e, AssertionError):
                    self.wrong.append(str(e))
                outcome = "cut"
                if c:
                    c.close()
                c = None
            self.ended(start, outcome)

    def body(self, number, i):
        return json.dumps({"card": {"number": CARD}, "who": number, "i": i}).encode()

    def judge(self, reply, body):
        if reply.code:
            return reply.code
        if reply.status == 200 and reply.body == body:
            return "right"
        self.wrong.append(f"{reply.status} {reply.body[:300]!r} for {body!r}")
        return "wrong"

    def ended(self, start, outcome):
        self.counts[outcome] += 1
        self.longest_s = max(self.longest_s, time.monotonic() - start)

    def wait_right(self, more, seconds=60):
        """`more` further right answers: service has recovered."""
        from conftest import until
        want = self.counts["right"] + more
        until(f"{more} more right answers ({dict(self.counts)})",
              lambda: self.counts["right"] >= want, seconds)


def no_plaintext(origin):
    """Nothing sealed by the route ever reached the origin open."""
    for seen in origin.seen():
        assert CARD.encode() not in seen.raw, seen.raw[:500]
        if seen.head.startswith(b"POST"):
            assert TOKEN.search(seen.body), seen.raw[:500]
    assert CARD.encode() not in origin.raw_log()
