"""The public Node SDK in a process of its own: programs/sdk.js."""
import json
import os
import pathlib
import subprocess

from conftest import NODE_MODULES, PREFIX, need_npm

PROGRAM = pathlib.Path(__file__).resolve().parent / "programs/sdk.js"
SDKS = ["sdk-4", "sdk-5", "sdk-6-0", "sdk-6"]       # names in package.json
WITH_ROLE = SDKS[1:]
TIMEOUT_S = 100


def start(stack, sdk, case, app="app", kind=None, key=..., **plan):
    """kind: the listener of the key API.  Before 6.1 an http API cannot be used for all calls.
    By its address: the SDK never sends its API's host through egress, and destinations of
    tests are on localhost."""
    need_npm(sdk)
    kind = kind or ("api" if sdk == "sdk-6" else "api-tls")
    scheme = "https" if kind == "api-tls" else "http"
    env = {n: v for n, v in os.environ.items() if not n.startswith(("EV_", "NODE_"))
           and not n.lower().endswith("_proxy")}
    env |= {"EV_API_URL": f"{scheme}://127.0.0.1:{stack.ports[kind]}",
            "EV_TUNNEL_HOSTNAME": f"https://localhost:{stack.ports['egress']}",
            "EV_CERT_HOSTNAME": f"http://127.0.0.1:{stack.ports['ca']}",
            "EV_POLL_INTERVAL": "1", "RELAY_SDK": sdk, "RELAY_NODE_MODULES": str(NODE_MODULES)}
    if kind == "api-tls":
        env["NODE_EXTRA_CA_CERTS"] = str(stack.ca.pem)
    app_id, good = stack.app(app)
    return program([], env, case=case, app=app_id, key=good if key is ... else key, **plan)


def start_under_run(stack, sdk, case, app="app", **plan):
    """The same, and all that it knows comes from `relayctl run`."""
    need_npm(sdk)
    app, key = stack.app(app)
    env = {n: v for n, v in os.environ.items() if not n.startswith(("EV_", "NODE_"))
           and not n.lower().endswith("_proxy")}
    env |= {"RELAY_APP_ID": app, "RELAY_API_KEY": key, "RELAY_SDK": sdk,
            "RELAY_NODE_MODULES": str(NODE_MODULES)}
    words = [PREFIX / "bin/relayctl", "-c", stack.dir / "relay.conf", "run", "--sdk", "node", "--"]
    return program(words, env, case=case, app=app, key=key, **plan)


def program(words, env, **plan):
    node = subprocess.Popen([*words, "node", "--no-warnings", PROGRAM], env=env,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    node.stdin.write(json.dumps(plan).encode())
    node.stdin.close()
    node.stdin = None
    return node


def said(node):
    """{"result": ...} or {"error": {name, message, text}} of a process that has been started."""
    try:
        out, errors = node.communicate(timeout=TIMEOUT_S)
    finally:
        node.kill()
    assert node.returncode == 0 and out, errors.decode()
    return json.loads(out)


def run(*args, **plan):
    return said(start(*args, **plan))


def result(*args, **plan):
    answer = run(*args, **plan)
    assert "result" in answer, answer
    return answer["result"]


def wrong(key):
    """Of the same form, and nobody's."""
    parts = key.split(":")
    parts[3] = parts[3][::-1]
    return ":".join(parts)
