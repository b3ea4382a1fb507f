#!/usr/bin/python3
"""From the start of relayd to `relayctl status --wait`, and from kill -9 of the
engine to the next sealed value; to ready, with 10,000 apps."""
import hashlib
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import time

import bench
import record_reader
import rpc_client

TIMES = 5
APPS = 10_000
PID_FILE = pathlib.Path(bench.RUN_DIR) / "relayd.pid"


def gone(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def stop():
    """relayd and all its children."""
    pid = int(PID_FILE.read_text())
    left = [pid, *bench.pids("").values()]
    os.kill(pid, signal.SIGTERM)
    bench.until("relayd is gone", lambda: all(map(gone, left)))


def start():
    begin = time.monotonic()
    subprocess.run([bench.BUILD / "root/sbin/relayd", "-c", bench.STATE / "relay.conf"], check=True,
                   stderr=subprocess.DEVNULL)       # its log is $RELAY_STATE/relay.log
    bench.relayctl("status", "--wait", "60")
    return time.monotonic() - begin


def seals():
    try:
        with bench.engine_link() as link:
            return link.status("Encrypt", rpc_client.encrypt(bench.APP, [b"v"])) == "ok"
    except (OSError, EOFError):
        return False


def ready():
    try:
        with bench.engine_link() as link:
            return link.call("Ping")["ready"]
    except (OSError, EOFError):
        return False


def write_apps():
    """Records beside those there are, while nothing runs."""
    root = (bench.STATE / "root.key").read_bytes()
    pairs = [(curve, hashlib.sha256(curve.encode()).digest()) for curve in ("r1", "k1")]
    for i in range(APPS):
        app = f"app_{i:012x}"
        (bench.STATE / f"e3/{app}.rec").write_bytes(record_reader.write(app, 1, pairs, root))


def kill_engine(what=seals):
    pid = bench.pids("e3d")["e3d"]
    begin = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    bench.until("the engine is dead", lambda: gone(pid))
    bench.until("the engine is back", what)
    return time.monotonic() - begin


def main():
    rows = {"relayd to status --wait": [], "e3d kill -9 to the next sealed value": []}
    for _ in range(TIMES):
        stop()
        for took, what in zip(rows.values(), (start, kill_engine)):
            took.append(what() * 1000)
    stop()
    write_apps()
    start()
    rows[f"e3d kill -9 to ready, {APPS:,} apps"] = [kill_engine(ready) * 1000
                                                    for _ in range(TIMES)]
    bench.table(f"start: {len(bench.pids(''))} processes, {TIMES} times",
                ["", "median ms", "worst ms"],
                [[name, f"{statistics.median(t):.0f}", f"{max(t):.0f}"]
                 for name, t in rows.items()])
    return 0


sys.exit(main())
