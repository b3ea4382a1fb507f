#!/usr/bin/python3
"""From the start of relayd to `relayctl status --wait`, and from kill -9 of the
engine to the next sealed value."""
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import time

import bench
import rpc_client

TIMES = 5
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


def kill_engine():
    pid = bench.pids("e3d")["e3d"]
    begin = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    bench.until("the engine is dead", lambda: gone(pid))
    bench.until("the engine seals again", seals)
    return time.monotonic() - begin


def main():
    rows = {"relayd to status --wait": [], "e3d kill -9 to the next sealed value": []}
    for _ in range(TIMES):
        stop()
        for took, what in zip(rows.values(), (start, kill_engine)):
            took.append(what() * 1000)
    bench.table(f"start: {len(bench.pids(''))} processes, {TIMES} times",
                ["", "median ms", "worst ms"],
                [[name, f"{statistics.median(t):.0f}", f"{max(t):.0f}"]
                 for name, t in rows.items()])
    return 0


sys.exit(main())
