#!/usr/bin/python3
"""The engine's aims, each with what was measured beside it, in one run: e3load
through mutual TLS on both transports, e3micro for the scheme alone."""
import json
import os
import pathlib
import statistics
import subprocess
import sys

import bench
import callers

ROUNDS = int(os.environ.get("BENCH_ROUNDS", 3))
SECONDS = max(1, bench.SECONDS // ROUNDS)           # of each load in a round
MICRO = os.environ.get("BENCH_MICRO", "").split()
PROFILES = bench.TOP / "bench/profiles"
RESULT = bench.BUILD / "engine.json"
UNIX = f"unix:{bench.RUN_DIR}/e3.sock"
TCP = os.environ["RELAY_E3"]
SLICE_MS = 0.26         # E3_SLICE_COST units of half a microsecond
CALLERS = ["small", "hog-1", "hog-2", "ping"]


# ---- loads ----

def e3load(profile, *options, address=UNIX):
    """The report of one load; a call that failed ends the run."""
    report = bench.last_line(
        [str(bench.BUILD / "e3load"), "--address", address, "--cert", os.environ["E3_CERT"],
         "--key", os.environ["E3_KEY"], "--ca", os.environ["E3_CA"], "--app", bench.APP,
         "--seconds", str(SECONDS), "--json", *map(str, options),
         str(PROFILES / f"{profile}.json")], None)
    return {s["client"]: s for s in report["scenarios"]} | {"engine": report["engine"]}


def engine_threads():
    """Crypto threads, as the master started them."""
    words = pathlib.Path(f"/proc/{bench.pids('e3d')['e3d']}/cmdline").read_text().split("\0")
    return int(words[words.index("--threads") + 1])


def engine_cpu():
    """Seconds on a core: of the network thread, of all others."""
    pid = bench.pids("e3d")["e3d"]
    network = others = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        ns = int((task / "schedstat").read_text().split()[0])
        if task.name == str(pid):
            network += ns
        else:
            others += ns
    return network / 1e9, others / 1e9


def strings(address, curve):
    """Fields a second at 2,000 a call, and CPU nanoseconds of each."""
    before = engine_cpu()
    r = e3load("strings-2000", "--curve", curve, address=address)
    network, crypto = (a - b for a, b in zip(engine_cpu(), before))
    sealed = r["engine"]["fields_sealed"]
    return {"fields_per_s": r["strings"]["fields_per_s"], "p50_ms": r["strings"]["p50_ms"],
            "network_ns": network * 1e9 / sealed, "crypto_ns": crypto * 1e9 / sealed}


def hogs(options):
    """30-field requests alone, two callers of 10,000 alone, both."""
    small = e3load("hogs", "--only", "small", *options)
    large = e3load("hogs", "--only", "hog", *options)
    both = e3load("hogs", "--ping", *options)
    return {"alone_p50_ms": small["small"]["p50_ms"], "alone_p99_ms": small["small"]["p99_ms"],
            "beside_p50_ms": both["small"]["p50_ms"], "beside_p99_ms": both["small"]["p99_ms"],
            "p50_ratio": both["small"]["p50_ms"] / small["small"]["p50_ms"],
            "p99_ratio": both["small"]["p99_ms"] / small["small"]["p99_ms"],
            "hogs_ratio": both["hog"]["fields_per_s"] / large["hog"]["fields_per_s"],
            "hogs_fields_per_s": both["hog"]["fields_per_s"],
            "ping_p50_ms": both["ping"]["p50_ms"], "ping_p99_ms": both["ping"]["p99_ms"],
            "ping_max_ms": both["ping"]["max_ms"]}


def cancelled():
    """Calls of 60,000 fields that are cancelled in the middle of their work."""
    r = e3load("one-60000", "--cancel-after-ms", 10, "--ping")
    c = r["one"]["cancel"]
    return {"sent": c["sent"], "stopped": c["stopped"], "last_piece_p50_ms": c["p50_ms"],
            "last_piece_p99_ms": c["p99_ms"], "stop_p50_ms": c["stop_p50_ms"],
            "stop_p99_ms": c["stop_p99_ms"], "late_pieces": c["late_pieces"] / max(1, c["sent"]),
            "counted": r["engine"].get("cancelled", 0), "ping_p50_ms": r["ping"]["p50_ms"]}


def signed():
    """rpc_signatures = all beside the default, round by round; None where e3.conf
    does not have the option."""
    conf = bench.STATE / "e3.conf"
    text = conf.read_text()

    def reload(more):
        pid = bench.pids("e3d")["e3d"]
        conf.write_text(text + more)
        bench.relayctl("reload", "--wait")
        bench.until("the engine is replaced", lambda: bench.pids("e3d").get("e3d") not in (pid, 0))
        bench.relayctl("status", "--wait", "60")

    def pair():
        return {"calls_per_s": e3load("calls-30")["calls"]["calls_per_s"],
                "fields_per_s": e3load("strings-2000")["strings"]["fields_per_s"]}

    rounds = []
    try:
        for _ in range(ROUNDS):
            default = pair()
            reload('rpc_signatures = "all"\n')
            every = pair()
            reload("")
            rounds.append({k: every[k] / default[k] for k in default})
    except subprocess.CalledProcessError:
        if rounds:
            raise
        conf.write_text(text)
        return None
    return middle(rounds)


def middle(rounds):
    """The median of each figure."""
    if isinstance(rounds[0], dict):
        return {k: middle([r[k] for r in rounds]) for k in rounds[0]}
    return statistics.median(rounds)


def measure():
    got = {"threads": engine_threads(), "micro": bench.last_line(
        [str(bench.BUILD / "e3micro"), "--json", *MICRO], None)}
    own = ["--callers", callers.make(CALLERS)]
    # All of a round are neighbours in time: their ratios are what counts.
    rounds = []
    for _ in range(ROUNDS):
        r = {"unix_r1": strings(UNIX, "r1"), "tcp_r1": strings(TCP, "r1"),
             "unix_k1": strings(UNIX, "k1"), "tcp_k1": strings(TCP, "k1"),
             "hogs": hogs(own), "hogs_one_caller": hogs([]), "cancel": cancelled(),
             "one_string_ms": e3load("one-string")["one"]["p50_ms"]}
        for curve in ("r1", "k1"):
            r[f"tcp_ratio_{curve}"] = (r[f"tcp_{curve}"]["fields_per_s"] /
                                       r[f"unix_{curve}"]["fields_per_s"])
        rounds.append(r)
    got |= middle(rounds)
    got["signed"] = signed()
    return got


# ---- aims ----

def number(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.2f}"


def row(name, value, unit, aim=None, more_is_better=True, met=None):
    """unit "ratio": to a peer of the same run, which bench/compare may compare."""
    if aim is not None and met is None:
        shown = round(value, 2)             # judged as it is printed
        met = shown >= aim if more_is_better else shown <= aim
    return {"name": name, "value": value, "unit": unit, "aim": aim,
            "more_is_better": more_is_better, "met": met,
            "text": [name, number(value),
                     "-" if aim is None else f"{'>=' if more_is_better else '<='} {number(aim)}",
                     "" if aim is None else "met" if met else "missed"]}


def aims_of_speed(got):
    micro, threads = got["micro"], got["threads"]
    for curve, loop in (("r1", "r1_loop_table"), ("k1", "k1_loop")):
        through = got[f"unix_{curve}"]["fields_per_s"] / threads
        aimed = curve == "r1"
        yield row(f"{curve}, Unix socket: strings/s of a crypto thread", through, "/s",
                  1.5e6 if aimed else None)
        yield row(f"{curve}, TCP: strings/s of a crypto thread",
                  got[f"tcp_{curve}"]["fields_per_s"] / threads, "/s")
        yield row(f"{curve}: strings/s of a crypto thread's own CPU time",
                  1e9 / got[f"unix_{curve}"]["crypto_ns"], "/s")
        yield row(f"{curve}: through mutual TLS / loop in one process",
                  through * micro[loop] / 1e9, "ratio", 0.3 if aimed else None)
        yield row(f"{curve}: through mutual TLS / naive EVP, agreement for each",
                  through * micro[f"{curve}_naive"] / 1e9, "ratio", 5 if aimed else None)
        yield row(f"{curve}: through mutual TLS / naive EVP, agreement for 2,000",
                  through * micro[f"{curve}_naive_request"] / 1e9, "ratio", 5 if aimed else None)
        yield row(f"{curve}: TCP / Unix socket", got[f"tcp_ratio_{curve}"], "ratio", 0.9)
    yield row("k1 / r1 without table, loop of 2,000", micro["r1_loop"] / micro["k1_loop"],
              "ratio", 0.9)
    yield row("k1 / r1 without table, key of a request",
              micro["r1_request"] / micro["k1_request"], "ratio")


def aims_of_keys(got):
    micro = got["micro"]
    for curve, first in (("r1", "r1_first_table"), ("k1", "k1_first")):
        us, times = micro[first] / 1000, micro[first] / micro[f"{curve}_field"]
        yield row(f"{curve}: first string on an idle engine, us (or 150 : 1 to a further one)", us,
                  "us", 30, False, us < 30 or times >= 150)
        yield row(f"{curve}: first string : further string", times, "ratio",
                  more_is_better=False)
        yield row(f"{curve}: open of 10,000 tokens, derived once / each",
                  micro[f"{curve}_open"] / micro[f"{curve}_open_cached"], "ratio",
                  100 if curve == "r1" else None)
    yield row("one string through the Unix socket, p50 ms", got["one_string_ms"], "ms",
              more_is_better=False)


def aims_of_fairness(got):
    for key, who, aimed in (("hogs", "two callers of 10,000", True),
                            ("hogs_one_caller", "10,000 by the same caller", False)):
        h = got[key]
        yield row(f"30 fields beside {who}: p99 / alone", h["p99_ratio"], "ratio",
                  5 if aimed else None, False)
        yield row(f"30 fields beside {who}: p50 / alone", h["p50_ratio"], "ratio",
                  1.5 if aimed else None, False)
        yield row(f"30 fields beside {who}: p99 ms", h["beside_p99_ms"], "ms",
                  more_is_better=False)
        yield row(f"{who}: throughput / alone", h["hogs_ratio"], "ratio", 0.8 if aimed else None)
        yield row(f"Ping beside {who}: p99 ms", h["ping_p99_ms"], "ms", 10, False)
    c = got["cancel"]
    yield row("60,000 cancelled: from the answer to Cancel to the last piece, p50 ms",
              c["stop_p50_ms"], "ms", SLICE_MS, False)
    yield row("60,000 cancelled: from Cancel to the last piece, p50 ms", c["last_piece_p50_ms"],
              "ms", more_is_better=False)
    yield row("60,000 cancelled: stopped by the engine / sent", c["stopped"] / max(1, c["sent"]),
              "ratio")
    if got["signed"] is not None:
        yield row("rpc_signatures all / default: calls/s of 30 fields",
                  got["signed"]["calls_per_s"], "ratio")
        yield row("rpc_signatures all / default: strings/s at 2,000",
                  got["signed"]["fields_per_s"], "ratio")


def main():
    got = measure()
    aims = [*aims_of_speed(got), *aims_of_keys(got), *aims_of_fairness(got)]
    bench.table(f"engine: {got['threads']} crypto thread(s), {ROUNDS} rounds of {SECONDS} s for "
                "each load, medians; strings of 16 bytes, 2,000 in a call",
                ["", "measured", "aim", ""],
                [r["text"] for r in aims])
    RESULT.write_text(json.dumps({"rounds": ROUNDS, "seconds": SECONDS, "aims": aims,
                                  "measured": got}, indent=1))
    print(f"  figures: {RESULT}; bench/compare OLD NEW, bench/markdown FILE")
    return 0


if __name__ == "__main__":
    sys.exit(main())
