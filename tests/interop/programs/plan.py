"""What a Python client is told to do, and how it says what came back: see clients.py."""
import os
import pathlib
import urllib.parse

PROXY, CA, PROXY_CA = (os.environ[n] for n in ("RELAY_PROXY", "RELAY_CA", "RELAY_PROXY_CA"))
USER, KEY, INNER_KEY = (os.environ.get(n) for n in ("RELAY_USER", "RELAY_KEY", "RELAY_INNER_KEY"))
KEEP = os.environ["RELAY_KEEP"] == "yes"
OUT = pathlib.Path(os.environ["RELAY_OUT"])


def requests(argv):
    for i in range(1, len(argv), 3):
        method, url, file = argv[i:i + 3]
        yield method, url, None if file == "-" else pathlib.Path(file).read_bytes()


def fields(body):
    return {} if body is None else {"Content-Type": "application/json"}


def proxy_with_user():
    if not KEY:
        return PROXY
    # A key may hold "/" and "+".
    return PROXY.replace("://", f"://{USER}:{urllib.parse.quote(KEY, safe='')}@")


def answer(i, status, code, body):
    (OUT / str(i)).write_bytes(body)
    print(status, code or "-", flush=True)
