"""What the measurements share: the instance that bench/run started, and tables."""
import json
import math
import os
import pathlib
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "tests/scenario"))

import rpc_client                                               # noqa: E402

BUILD = pathlib.Path(os.environ["BENCH_BUILD"])
STATE = pathlib.Path(os.environ["RELAY_STATE"])
SECONDS = int(os.environ["BENCH_SECONDS"])
CA = os.environ["RELAY_CA"]
APP = os.environ["RELAY_APP_ID"]
INGRESS = int(os.environ["RELAY_INGRESS"].rsplit(":", 1)[1])
ORIGIN = int(os.environ["RELAY_ORIGIN"].rsplit(":", 1)[1])
RUN_DIR = next(line.split('"')[1] for line in (STATE / "relay.conf").read_text().splitlines()
               if line.startswith("run_dir"))


def redis(*words, data=None):
    port = os.environ["RELAY_REDIS"].rsplit(":", 1)[1]
    r = subprocess.run(["redis-cli", "-p", port, *words], input=data, text=True,
                       capture_output=True, check=True)
    return r.stdout.strip()


def relayctl(*words):
    return subprocess.run([os.environ["RELAYCTL"], *words], capture_output=True, text=True,
                          check=True).stdout


def status():
    return json.loads(relayctl("--json", "status"))


def pids(prefix):
    return {c["name"]: c["pid"] for c in status()["children"] if c["name"].startswith(prefix)}


def push(host, relay):
    """As an operator does: the record, then the message."""
    redis("-x", "HSET", "relay:relays", host, data=json.dumps(relay))
    redis("PUBLISH", "relay:updates", f"relays {host}")


def relay(port, routes):
    return {"app": APP, "destinationDomain": "localhost", "destination": {"port": port},
            "routes": routes}


def seal(path, *selectors):
    return {"method": "POST", "path": path, "request": [
        {"action": "encrypt", "selections": [{"selector": s} for s in selectors]}]}


def engine_link(timeout=60):
    return rpc_client.Link(f"{RUN_DIR}/e3.sock", os.environ["E3_CA"], os.environ["E3_CERT"],
                           os.environ["E3_KEY"], timeout=timeout)


def last_line(command, env):
    """What a load says in its last line, which is JSON."""
    r = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if r.returncode != 0:
        raise SystemExit(f"{command[0]}: exit {r.returncode}: {r.stderr.strip()}")
    return json.loads(r.stdout.splitlines()[-1])


def until(what, check, seconds=30, pause=0.0005):
    end = time.monotonic() + seconds
    while not (value := check()):
        if time.monotonic() > end:
            raise SystemExit(f"not within {seconds} s: {what}")
        time.sleep(pause)
    return value


def percentile(values, percent):
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def table(title, head, rows):
    print(title)
    rows = [head] + [[str(c) for c in row] for row in rows]
    widths = [max(len(r[i]) for r in rows) for i in range(len(head))]
    for row in rows:
        print("  " + "  ".join(c.ljust(w) if i == 0 else c.rjust(w)
                               for i, (c, w) in enumerate(zip(row, widths))))
