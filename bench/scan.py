#!/usr/bin/python3
"""The scanner for tokens in any body, alone: GB/s of one thread."""
import json
import os
import subprocess
import sys

import bench

MICRO = os.environ.get("BENCH_MICRO", "").split()
AIM = 2.0                   # GB/s, where nothing is found
AIMED = ["json", "base64", "binary"]


def main():
    speed = json.loads(subprocess.run([str(bench.BUILD / "scanmicro"), "--json", *MICRO],
                                      capture_output=True, text=True, check=True).stdout)
    print("scan: tokens in any body, 1 MiB in windows of 16 KiB, one thread")
    for name, value in speed.items():
        missed = f"  (aim {AIM})" if name in AIMED and value < AIM else ""
        print(f"  {name:20} {value:8.2f} GB/s{missed}")
    (bench.BUILD / "scan.json").write_text(json.dumps(speed, indent=1) + "\n")
    return 0


sys.exit(main())
