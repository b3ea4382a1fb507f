#!/usr/bin/python3
"""The road of a request beside nginx as a plain TLS proxy on the same origin:
requests a second, latency, CPU by process, memory of idle connections.  The
peers take turns, so that what else the machine does falls on both."""
import dataclasses
import json
import os
import statistics
import sys

import bench
import peers

ROUNDS = int(os.environ.get("BENCH_ROUNDS", 4))     # nginx, relay, nginx, relay ...
SECONDS = max(1, bench.SECONDS // ROUNDS)           # of each load in a round
CONNECTIONS = 32        # what saturates the cores
FEW = 2                 # connections that leave them idle time
IDLE = int(os.environ.get("BENCH_IDLE", 2000))
ONLY = os.environ.get("BENCH_CASES", "")            # those whose name has this text
AIM_MEMORY = 1.3
FIELDS = 10
RESULT = bench.BUILD / "ingress.json"

CARD = {"number": "4111111111111111", "holder": "Ada Lovelace", "expiry": "11/29", "cvc": "123"}
PERSON = {"name": "Ada Lovelace", "email": "ada@example.com", "phone": "+44 20 7946 0018",
          "street": "12 St James's Square", "city": "London", "taxId": "GB123456789"}
SELECTORS = [f"$.card.{k}" for k in CARD] + [f"$.person.{k}" for k in PERSON]


def document(size):
    """An order of `size` bytes: ten values to seal, the rest its lines."""
    order = {"id": "ord_7f3a9c", "currency": "GBP", "card": CARD, "person": PERSON, "lines": []}
    line = {"sku": "BK-1843-02", "title": "Notes on the Analytical Engine", "quantity": 3,
            "price": 1249.5, "tax": {"rate": 0.2, "code": "S"}, "gift": False, "note": None}
    while len(json.dumps(order)) + len(json.dumps(line)) + 32 < size:
        order["lines"].append({**line, "n": len(order["lines"])})
    order["pad"] = ""
    order["pad"] = "x" * (size - len(json.dumps(order)))
    path = bench.STATE / f"order-{size}.json"
    path.write_text(json.dumps(order))
    assert path.stat().st_size == size
    return path


@dataclasses.dataclass
class Case:
    name: str
    aim: float = None       # relay's requests a second / nginx's
    kib: int = 1            # of the request's body; 0: GET
    fields: int = 0         # sealed in each request
    mode: str = "kept"      # or a connection for each request: full, resumed

    def load(self, peer, connections, seconds):
        path = "/100k" if self.kib == 0 else "/sealed" if self.fields else "/plain"
        body = document(self.kib * 1024) if self.kib else None
        if self.mode == "kept":
            return peers.wrk(peer.port, path, body, connections, seconds)
        return peers.connload(peer.port, path, body, self.mode, connections // 4, seconds)


CASES = [
    Case("1 KB", 0.85),
    Case("1 KB, 10 fields", 0.25, fields=FIELDS),
    Case("100 KB", 0.85, kib=100),
    Case("100 KB, 10 fields", 0.5, kib=100, fields=FIELDS),
    Case("GET of 100 KB", 0.85, kib=0),
    Case("new connection, 1 KB", 0.75, mode="full"),
    Case("new connection, 1 KB, 10 fields", mode="full", fields=FIELDS),
    Case("new connection, 100 KB", kib=100, mode="full"),
    Case("new connection, 100 KB, 10 fields", kib=100, mode="full", fields=FIELDS),
    Case("resumed connection, 1 KB", 0.75, mode="resumed"),
]


def sealed_fields():
    with bench.engine_link() as link:
        return link.call("GetStatistics")["fields_sealed"]


def wrong(case, peer, result, sealed):
    """Why the figures do not count, or None."""
    if result["errors"]:
        return f"{result['errors']} errors"
    # A load cuts what is in flight at its end: a few more may be sealed.
    wanted = case.fields * result["requests"] if peer.name == "relay" else 0
    if not wanted <= sealed <= wanted * 1.05 + case.fields * CONNECTIONS:
        return f"{sealed} fields sealed in {result['requests']} requests"
    if case.mode == "resumed" and result["resumed"] < 0.99 * result["requests"] - CONNECTIONS:
        return f"{result['resumed']} of {result['requests']} resumed"
    return None


def measure(case, peer, origin):
    """One load: its figures, and the CPU of a request by process."""
    pids = {**peer.pids, **{f"origin {n}": p for n, p in origin.workers().items()}}
    sealed = sealed_fields()
    before = {n: peers.cpu_us(p) for n, p in pids.items()}
    r = case.load(peer, CONNECTIONS, SECONDS)
    spent = {n: peers.cpu_us(p) - before[n] for n, p in pids.items()}
    fault = wrong(case, peer, r, sealed_fields() - sealed)
    if fault:
        print(f"ingress: {case.name}, {peer.name}: {fault}")
    cpu = {}
    for name, us in spent.items():
        role = "origin" if name.startswith("origin ") else name.rstrip("0123456789")
        cpu[role] = cpu.get(role, 0) + us / max(1, r["requests"])
    return {"rate": r["requests"] / r["seconds"], "p50_ms": r["p50_ms"], "p99_ms": r["p99_ms"],
            "fault": bool(fault), "cpu_us": cpu,
            "cpu_total_us": sum(v for k, v in cpu.items() if k != "origin")}


def middle(rounds):
    """The median of each figure of one peer's rounds."""
    if isinstance(rounds[0], dict):
        return {k: middle([r[k] for r in rounds]) for k in rounds[0]}
    return any(rounds) if isinstance(rounds[0], bool) else statistics.median(rounds)


def run_case(case, nginx, relay, origin):
    both = {nginx.name: [], relay.name: []}
    for peer in (nginx, relay):         # warm: connections, tables, caches
        case.load(peer, CONNECTIONS, 1)
    for _ in range(ROUNDS):
        for peer in (nginx, relay):
            both[peer.name].append(measure(case, peer, origin))
    row = {name: middle(rounds) for name, rounds in both.items()}
    pairs = list(zip(both["relay"], both["nginx"]))
    row["ratio"] = {k: statistics.median(r[k] / max(n[k], 1e-6) for r, n in pairs)
                    for k in ("rate", "p50_ms", "p99_ms", "cpu_total_us")}
    row["aim"] = case.aim
    if case.mode == "kept":
        for peer in (nginx, relay):
            few = [case.load(peer, FEW, 1) for _ in range(min(2, ROUNDS))]
            row[peer.name]["few"] = middle([{k: f[k] for k in ("p50_ms", "p99_ms")} for f in few])
    return row


def memory(peer):
    """Bytes of one idle connection: new, and after a request."""
    empty = peers.rss_anon(peer.workers)
    idle = peers.Idle(peer.port, IDLE)
    new = peers.rss_anon(peer.workers)
    idle.use()
    used = peers.rss_anon(peer.workers)
    idle.close()
    return {"new": (new - empty) / IDLE, "used": (used - empty) / IDLE}


# ---- tables ----

def aim_text(ratio, aim, lower=False):
    if aim is None:
        return "-"
    met = round(ratio, 2) <= aim if lower else round(ratio, 2) >= aim   # as printed
    return f"{'<=' if lower else '>='} {aim} {'met' if met else 'missed'}"


def print_rates(rows):
    bench.table(f"ingress: {CONNECTIONS} connections, {ROUNDS} rounds of {SECONDS} s for each, "
                "medians; TLS 1.3 on every leg, answers of 1 KB; ratio: relay / nginx",
                ["request", "nginx/s", "relay/s", "ratio", "aim", "p50 ms", "relay", "ratio",
                 "p99 ms", "relay", "ratio"],
                [[name, f"{r['nginx']['rate']:.0f}", f"{r['relay']['rate']:.0f}",
                  f"{r['ratio']['rate']:.2f}", aim_text(r["ratio"]["rate"], r["aim"]),
                  *[t for k in ("p50_ms", "p99_ms") for t in
                    (f"{r['nginx'][k]:.2f}", f"{r['relay'][k]:.2f}", f"{r['ratio'][k]:.1f}")]]
                 for name, r in rows.items()])


def print_cpu(rows):
    def other(cpu):
        return sum(v for k, v in cpu.items() if k not in ("worker", "e3d", "origin"))

    bench.table("ingress: CPU microseconds of a request; the origin's behind nginx, behind relay",
                ["request", "nginx", "relay", "ratio", "worker", "e3d", "other", "origin",
                 "origin"],
                [[name, f"{r['nginx']['cpu_total_us']:.1f}", f"{r['relay']['cpu_total_us']:.1f}",
                  f"{r['ratio']['cpu_total_us']:.2f}", f"{r['relay']['cpu_us']['worker']:.1f}",
                  f"{r['relay']['cpu_us']['e3d']:.1f}", f"{other(r['relay']['cpu_us']):.1f}",
                  f"{r['nginx']['cpu_us']['origin']:.1f}",
                  f"{r['relay']['cpu_us']['origin']:.1f}"] for name, r in rows.items()])


def print_few(rows):
    bench.table(f"ingress: latency with {FEW} connections, ms",
                ["request", "nginx p50", "relay p50", "nginx p99", "relay p99"],
                [[name, *[f"{r[peer]['few'][k]:.3f}" for k in ("p50_ms", "p99_ms")
                          for peer in ("nginx", "relay")]]
                 for name, r in rows.items() if "few" in r["relay"]])


def print_memory(held):
    ratios = {k: held["relay"][k] / held["nginx"][k] for k in ("new", "used")}
    bench.table(f"ingress: anonymous memory of an idle TLS connection, of {IDLE}",
                ["", "nginx bytes", "relay bytes", "ratio", "aim"],
                [[name, f"{held['nginx'][k]:.0f}", f"{held['relay'][k]:.0f}", f"{ratios[k]:.2f}",
                  aim_text(ratios[k], AIM_MEMORY, lower=True)]
                 for k, name in (("new", "after the handshake"), ("used", "after one request"))])
    held["ratio"] = ratios


def main():
    bench.push(peers.HOST, bench.relay(peers.ORIGIN, [bench.seal("/sealed", *SELECTORS)]))
    bench.until("the record is live",
                lambda: peers.HOST in bench.relayctl("relay", "list") and
                str(peers.ORIGIN) in bench.redis("HGET", "relay:relays", peers.HOST))
    workers = bench.pids("worker")
    with peers.origin(len(workers)) as origin, peers.proxy(len(workers)) as proxy:
        nginx = peers.Peer("nginx", peers.PROXY, proxy.workers(), [*proxy.workers().values()])
        relay = peers.Peer("relay", bench.INGRESS,
                           {**bench.pids(""), "relayd": bench.status()["pid"]},
                           [*workers.values()])
        # First, while neither keeps memory that a load once needed.
        held = {peer.name: memory(peer) for peer in (nginx, relay)}
        rows = {case.name: run_case(case, nginx, relay, origin) for case in CASES if ONLY in case.name}
    print_rates(rows)
    print_cpu(rows)
    print_few(rows)
    print_memory(held)
    RESULT.write_text(json.dumps({"rounds": ROUNDS, "seconds": SECONDS, "rows": rows,
                                  "memory": held}, indent=1))
    print(f"  figures: {RESULT}; compare two such files with bench/compare OLD NEW")
    return any(rows[name][peer]["fault"] for name in rows for peer in ("nginx", "relay"))


if __name__ == "__main__":
    sys.exit(main())
