#!/usr/bin/python3
"""The CONNECT proxy beside squid with ssl-bump, a proxy on Node, and no proxy at all:
requests a second, latency, CPU by process, memory of idle tunnels.  The peers take
turns in every round, so that what else the machine does falls on all of them."""
import dataclasses
import json
import os
import statistics
import subprocess
import sys

import bench
import egress_peers
import ingress
import peers

ROUNDS = int(os.environ.get("BENCH_ROUNDS", 4))
SECONDS = max(1, bench.SECONDS // ROUNDS)           # of each load in a round
REQUESTS = os.environ.get("BENCH_REQUESTS", "0")    # ... or so many, for a check
CONNECTIONS = 32
IDLE = int(os.environ.get("BENCH_IDLE", 2000))
ONLY = os.environ.get("BENCH_CASES", "")            # those whose name has this text
RESULT = bench.BUILD / "egress.json"
RELAY_ROLES = ("worker", "e3d")


@dataclasses.dataclass
class Way:
    """One road to the origin."""
    name: str
    form: str               # of tunnelload
    port: int
    pids: dict              # name -> pid: everything that works for a request
    workers: list           # pids of those that hold connections
    key: str = None
    seal: object = None     # values -> tokens of this way's app


@dataclasses.dataclass
class Ratio:
    """way / beside: requests a second."""
    way: str
    beside: str
    aim: float = None
    dream: float = None


@dataclasses.dataclass
class Case:
    name: str
    ratios: list
    kib: int = 1            # of the POST; 0: GET
    path: str = "/echo"
    answer_kib: int = 1
    fresh: bool = False     # a tunnel for each request
    tokens: bool = False

    def ways(self):
        """Each once, as they first come."""
        return list(dict.fromkeys(n for r in self.ratios for n in (r.beside, r.way)))

    def files(self, way):
        """(body to send, answer to expect)."""
        if self.tokens:
            return sealed_document(way), ingress.document(1024)
        body = ingress.document(self.kib * 1024) if self.kib else None
        if self.path == "/echo":
            return body, body
        return body, expected(self.path)

    def load(self, way, seconds):
        body, expect = self.files(way)
        return bench.last_line(egress_peers.command(
            way, self.path, body, expect, CONNECTIONS, "--seconds", seconds, "--requests",
            REQUESTS, *(["--new"] if self.fresh else [])), None)


DEFAULTS = Ratio("relay plain", "squid, defaults")
NEW = [Ratio("relay plain", "squid", 2.5, 5), Ratio("relay plain", "direct", 0.35, 0.7),
       Ratio("relay TLS", "squid"), Ratio("relay TLS", "squid behind TLS", 2.5, 5),
       Ratio("relay TLS", "direct", 0.35, 0.7)]
KEPT = [Ratio("relay plain", "squid", 1.5, 2.5), Ratio("relay TLS", "squid"),
        Ratio("relay TLS", "squid behind TLS", 1.5, 2.5)]
CASES = [
    Case("new tunnel, POST 1 KB", [*NEW, DEFAULTS], fresh=True),
    Case("new tunnel, GET 1 KB", NEW, kib=0, path="/answer", fresh=True),
    Case("kept tunnel, POST 1 KB", [*KEPT, DEFAULTS]),
    Case("kept tunnel, POST 100 KB", [*KEPT, DEFAULTS], kib=100, path="/answer"),
    Case("kept tunnel, GET 100 KB", KEPT, kib=0, path="/100k"),
    Case("kept tunnel, POST 1 KB, ten tokens", [Ratio("relay TLS", "node", 2.5, 5)],
         tokens=True),
]


# ---- bodies ----

def sealed_document(way):
    """The 1 KB order with its ten values as tokens; JSON of the same form."""
    path = bench.STATE / f"sealed-{way.name.replace(' ', '-')}.json"
    if path.exists():
        return path
    order = json.loads(ingress.document(1024).read_text())
    places = [(order[part], name) for part in ("card", "person") for name in order[part]]
    for (holder, name), token in zip(places, way.seal([h[n] for h, n in places])):
        holder[name] = token
    path.write_text(json.dumps(order))
    return path


def expected(path):
    """What the origin answers there, from itself."""
    file = bench.STATE / f"answer{path.replace('/', '-')}"
    if not file.exists():
        file.write_bytes(subprocess.run(
            ["curl", "-sf", "--cacert", bench.CA,
             f"https://{egress_peers.HOST}:{egress_peers.ORIGIN}{path}"],
            check=True, capture_output=True).stdout)
    return file


def seal_by_engine(values):
    with bench.engine_link() as link:
        sealed = link.call("Encrypt", {
            "app": bench.APP, "curve": "r1", "keyScope": "request", "existing": "encrypt",
            "fields": [[0, v.encode()] for v in values]})
    return [bytes(field[1]).decode() for field in sealed]


# ---- one load ----

def measure(case, way, origin):
    pids = {**way.pids, **{f"origin {n}": p for n, p in origin.workers().items()}}
    before = {n: peers.cpu_us(p) for n, p in pids.items()}
    r = case.load(way, SECONDS)
    cpu = {}
    for name, pid in pids.items():
        role = "origin" if name.startswith("origin ") else name.rstrip("0123456789")
        cpu[role] = cpu.get(role, 0) + (peers.cpu_us(pid) - before[name]) / max(1, r["requests"])
    fault = r["errors"] != 0 or r["requests"] == 0
    if fault:
        print(f"egress: {case.name}, {way.name}: {r['requests']} answers, {r['errors']} errors "
              f"({r['why']})")
    return {"rate": r["requests"] / r["seconds"], "p50_ms": r["p50_ms"], "p99_ms": r["p99_ms"],
            "fault": fault, "cpu_us": cpu,
            "cpu_total_us": sum(v for k, v in cpu.items() if k != "origin")}


def run_case(case, ways, origin):
    """Figures by way, and for each ratio its median over the rounds."""
    rounds = {name: [] for name in case.ways()}
    for name in rounds:                 # warm: leaves, connections, caches
        case.load(ways[name], 1)
    for _ in range(ROUNDS):
        for name in rounds:
            rounds[name].append(measure(case, ways[name], origin))
    row = {name: ingress.middle(taken) for name, taken in rounds.items()}
    ratios = [{"way": r.way, "beside": r.beside, "aim": r.aim, "dream": r.dream,
               **{k: statistics.median(w[k] / max(b[k], 1e-6) for w, b in
                                       zip(rounds[r.way], rounds[r.beside]))
                  for k in ("rate", "p50_ms", "p99_ms", "cpu_total_us")}}
              for r in case.ratios]
    return {"ways": row, "ratios": ratios}


def hold(way):
    """IDLE tunnels that were asked once each: (the load, why it does not count or None)."""
    load = subprocess.Popen(
        egress_peers.command(way, "/answer", None, expected("/answer"), IDLE, "--idle"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    report = json.loads(load.stdout.readline() or '{"errors": 1, "why": "no report"}')
    return load, report["why"] if report["errors"] else None


def memory(ways):
    """Bytes of one idle tunnel by way, None for a fault.  All are held until the last way is
    counted, or its tunnels would live in memory that those before it gave back."""
    held, loads = {}, []
    for way in ways:
        empty = peers.rss_anon(way.workers)
        load, fault = hold(way)
        loads.append(load)
        if fault:
            print(f"egress: idle tunnels, {way.name}: {fault}")
        held[way.name] = None if fault else (peers.rss_anon(way.workers) - empty) / IDLE
    for load in loads:
        load.communicate()
    return held


# ---- tables ----

def aims(rows):
    """What bench/compare and bench/markdown read."""
    for name, row in rows.items():
        for r in row["ratios"]:
            what = f"{name}: {r['way']} / {r['beside']}"
            dream = f" ({r['dream']:.2f})" if r["dream"] else ""
            yield {"name": what, "value": r["rate"], "unit": "ratio", "more_is_better": True,
                   "aim": r["aim"],
                   "text": [what, f"{r['rate']:.2f}",
                            f">= {r['aim']:.2f}{dream}" if r["aim"] else "",
                            ingress.aim_text(r["rate"], r["aim"]).rsplit(" ", 1)[-1]
                            if r["aim"] else ""]}


def print_rates(rows):
    bench.table(f"egress: {CONNECTIONS} connections, {ROUNDS} rounds of {SECONDS} s for each way, "
                "medians; TLS 1.3 on every leg; ratio: relay / the other; aim (dream)",
                ["request", "beside", "relay/s", "beside/s", "ratio", "aim", "", "p50 ms",
                 "beside", "p99 ms", "beside"],
                [[f"{name}: {r['way']}", r["beside"],
                  f"{row['ways'][r['way']]['rate']:.0f}", f"{row['ways'][r['beside']]['rate']:.0f}",
                  f"{r['rate']:.2f}",
                  f">= {r['aim']} ({r['dream']})" if r["aim"] else "-",
                  ingress.aim_text(r["rate"], r["aim"]).rsplit(" ", 1)[-1],
                  *[f"{row['ways'][r[w]][k]:.2f}" for k in ("p50_ms", "p99_ms")
                    for w in ("way", "beside")]]
                 for name, row in rows.items() for r in row["ratios"]])


def print_cpu(rows):
    def by_role(cpu):
        return ", ".join(f"{k} {v:.0f}" for k, v in sorted(cpu.items(), key=lambda i: -i[1])
                         if k != "origin" and v >= 0.5)

    bench.table("egress: CPU microseconds of a request (with its tunnel, where that is new)",
                ["request", "way", "all", "origin", "by process"],
                [[name, way, f"{r['cpu_total_us']:.0f}", f"{r['cpu_us']['origin']:.0f}",
                  by_role(r["cpu_us"])]
                 for name, row in rows.items() for way, r in row["ways"].items()])


def print_memory(held):
    bench.table(f"egress: anonymous memory of an idle tunnel after one request, of {IDLE}",
                ["", "bytes"], [[name, "-" if n is None else f"{n:.0f}"]
                                for name, n in held.items()])


def all_ways(squid, defaults, terminator, node):
    relay = {**bench.pids("worker"), **bench.pids("e3d")}
    workers = [*bench.pids("worker").values()]
    key = os.environ["RELAY_API_KEY"]

    def port(name):
        return int(os.environ[name].rsplit(":", 1)[1])

    return {w.name: w for w in (
        Way("direct", "direct", egress_peers.ORIGIN, {}, []),
        Way("squid", "plain", egress_peers.SQUID, squid.pids(), squid.workers()),
        Way("squid, defaults", "plain", egress_peers.SQUID_DEFAULTS, defaults.pids(),
            defaults.workers()),
        Way("squid behind TLS", "tls", egress_peers.SQUID_TLS,
            {**squid.pids(), **terminator.pids()},
            squid.workers() + [*terminator.pids().values()]),
        Way("relay plain", "plain", port("RELAY_EGRESS_PLAIN"), relay, workers, key),
        Way("relay TLS", "tls", port("RELAY_EGRESS_TLS"), relay, workers, key, seal_by_engine),
        Way("node", "tls", egress_peers.NODE, node.pids(), [*node.pids().values()], key,
            node.app.seal))}


def main():
    n = len(bench.pids("worker"))
    squid, defaults = egress_peers.squids(n)
    with egress_peers.origin(n) as origin, squid, defaults, \
            egress_peers.Terminator(n) as terminator, egress_peers.Node(n) as node:
        ways = all_ways(squid, defaults, terminator, node)
        # First, while nobody keeps memory that a load once needed.
        held = memory([ways[name] for name in ("squid", "node", "relay TLS", "relay plain")])
        rows = {case.name: run_case(case, ways, origin) for case in CASES if ONLY in case.name}
    print_rates(rows)
    print_cpu(rows)
    print_memory(held)
    RESULT.write_text(json.dumps({"rounds": ROUNDS, "seconds": SECONDS, "aims": [*aims(rows)],
                                  "cases": rows, "tunnel_bytes": held}, indent=1))
    print(f"  figures: {RESULT}; compare two such files with bench/compare OLD NEW")
    return None in held.values() or any(r["fault"] for row in rows.values()
                                        for r in row["ways"].values())


if __name__ == "__main__":
    sys.exit(main())
