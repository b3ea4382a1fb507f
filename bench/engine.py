#!/usr/bin/python3
"""Fields a second through one engine link, mutual TLS on both transports."""
import json
import os
import subprocess
import sys

import bench

FIELDS = 2000
IN_FLIGHT = 4


def main():
    rows = []
    for transport, address in (("Unix socket", f"unix:{bench.RUN_DIR}/e3.sock"),
                               ("TCP loopback", os.environ["RELAY_E3"])):
        for curve in ("r1", "k1"):
            r = subprocess.run([bench.BUILD / "e3load", address, os.environ["E3_CERT"],
                                os.environ["E3_KEY"], os.environ["E3_CA"], bench.APP, curve,
                                str(FIELDS), str(IN_FLIGHT), str(bench.SECONDS)],
                               capture_output=True, text=True, check=False)
            if r.returncode != 0:
                print(r.stderr)
                return 1
            got = json.loads(r.stdout)
            rows.append([f"{transport}, {curve}", f"{got['fields_per_s']:.0f}",
                         f"{got['calls'] / got['seconds']:.0f}",
                         f"{got['token_bytes'] / got['seconds'] / 1e6:.0f}"])
    bench.table(f"engine: Encrypt of {FIELDS} fields of 16 bytes, {IN_FLIGHT} calls in flight, "
                f"one link, {bench.SECONDS} s each",
                ["mutual TLS 1.3 over", "fields/s", "calls/s", "MB/s of tokens"], rows)
    return 0


sys.exit(main())
