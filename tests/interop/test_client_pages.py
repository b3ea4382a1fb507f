"""The blocks of docs/clients, run as they stand: `<!-- run: NAME -->` before a fenced block.
What has a destination in it must show it the value of a token."""
import os
import pathlib
import re
import shlex
import subprocess

import pytest

from clients import JARS
from conftest import NODE_MODULES, PREFIX, TOP, Process, free_port, need, need_npm

CARD = "4111111111111111"
BLOCK = re.compile(r"^<!-- run: ([\w-]+) -->\n+```(\w+)\n(.*?)^```$", re.S | re.M)
PAGES = sorted((TOP / "docs/clients").glob("*.md"))
BLOCKS = {name: (language, text) for page in PAGES
          for name, language, text in BLOCK.findall(page.read_text())}
# The pages say: under `relayctl run`.
UNDER_RUN = {"go": (), "node-undici": (), "node-agent": (), "node-sdk": ("--sdk", "node"),
             "php-run": (), "python-requests": (), "java-apache": (), "java-jdk": ()}
# Variables that another block's program is run with.
THEN = {"node-variables": "node-agent", "python-variables": "python-requests"}
PROGRAMS = {"js": ["node"], "go": ["go", "run"], "java": ["java", "-cp", ":".join(map(str, JARS))],
            "php": ["php"], "python": ["/usr/bin/python3"], "ruby": ["ruby"], "sh": ["bash", "-eu"]}
SUFFIX = {"go": "go", "java": "java", "php": "php", "python": "py", "ruby": "rb", "sh": "sh"}
NEEDS = {"wget": ["wget"], "git": ["git"], "java-jdk": ["socat"], "java-store": ["keytool"]}
PACKAGES = {"node-undici": ["undici"], "node-agent": ["https-proxy-agent", "axios"],
            "node-sdk": ["sdk-6"]}


def check_needs(name):
    language, _ = BLOCKS[name]
    need(PROGRAMS[language][0], *NEEDS.get(name, []))
    if language == "js":
        need_npm(*PACKAGES[name])
    if language == "php" and "curl" not in subprocess.run(
            ["php", "-m"], capture_output=True, check=True, text=True).stdout.split():
        pytest.skip("php-curl is not installed")
    if name.startswith("python-requests") and subprocess.run(
            ["/usr/bin/python3", "-c", "import requests"], check=False,
            capture_output=True).returncode:
        pytest.skip("python3-requests is not installed")
    if name == "java-apache" and not all(jar.exists() for jar in JARS):
        pytest.skip("libhttpclient-java is not installed")


def node_modules(folder):
    """As `npm install` would leave them: the SDK under its own name."""
    modules = folder / "node_modules"
    modules.mkdir()
    for package in NODE_MODULES.iterdir():
        (modules / package.name).symlink_to(package)
    (modules / "@evervault").mkdir(exist_ok=True)
    (modules / "@evervault/sdk").symlink_to(NODE_MODULES / "sdk-6")


def command(name, folder):
    """The block in a file, and what runs that."""
    language, text = BLOCKS[name]
    if language == "java":
        file = folder / (re.search(r"public class (\w+)", text).group(1) + ".java")
    elif language == "js":
        node_modules(folder)
        file = folder / ("block.mjs" if re.search(r"^import ", text, re.M) else "block.js")
    else:
        file = folder / f"block.{SUFFIX[language]}"
    file.write_text(text)
    words = PROGRAMS[language]
    if name == "java-jdk":
        words = ["java", "-Dhttps.proxyHost=127.0.0.1",
                 f"-Dhttps.proxyPort={(folder / 'port').read_text()}"]
    run = ["relayctl", "run", *UNDER_RUN[name], "--"] if name in UNDER_RUN else []
    return [*run, *words, file]


@pytest.fixture
def pages(egress, make_origin, tmp_path):
    """The environment that the pages ask for; some clients never send localhost
    to a proxy."""
    origin = make_origin(hosts=["www.shop.test"])
    app, key = egress.app()
    programs = tmp_path / "programs"
    programs.mkdir()
    relayctl = programs / "relayctl"
    relayctl.write_text(f'#!/bin/sh\nexec {PREFIX}/bin/relayctl -c {egress.dir}/relay.conf "$@"\n')
    relayctl.chmod(0o755)
    dropped = ("EV_", "SSL_", "CURL_", "NODE_", "JAVA_", "REQUESTS_", "GIT_")
    env = {k: v for k, v in os.environ.items()
           if not k.startswith(dropped) and not k.lower().endswith("_proxy")}
    env |= {"RELAY_EGRESS_TLS": f"https://127.0.0.1:{egress.ports['egress']}",
            "RELAY_EGRESS_STRICT": f"https://127.0.0.1:{egress.ports['egress-strict']}",
            "RELAY_EGRESS_PLAIN": f"http://127.0.0.1:{egress.ports['egress-plain']}",
            "RELAY_CA_URL": f"http://127.0.0.1:{egress.ports['ca']}",
            "RELAY_CA": str(egress.ca.pem), "RELAY_APP_ID": app, "RELAY_API_KEY": key,
            "RELAYCTL": str(relayctl), "TOKEN": egress.token(CARD),
            "DESTINATION": f"https://www.shop.test:{origin.port}/charges",
            "HOME": str(tmp_path), "TMPDIR": str(tmp_path), "GO111MODULE": "off",
            "GOCACHE": str(tmp_path.parent / "go-cache"),
            "PATH": f"{programs}:{os.environ['PATH']}"}
    return origin, env


@pytest.fixture
def socat(egress, tmp_path):
    """Clear text on loopback to TLS to the strict listener, as java.md says."""
    port = free_port()
    process = Process("socat", ["socat", f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr",
                                f"OPENSSL:127.0.0.1:{egress.ports['egress-strict']},"
                                f"cafile={egress.ca.pem}"], tmp_path)
    (tmp_path / "port").write_text(str(port))
    yield
    process.end()


@pytest.mark.skipif(not BLOCKS, reason="docs/clients has no blocks to run")
@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_does_what_its_page_says(pages, name, tmp_path, request):
    check_needs(name)
    origin, env = pages
    if name == "java-jdk":
        request.getfixturevalue("socat")
    words = command(name, tmp_path)
    if name in THEN:
        check_needs(THEN[name])
        then = tmp_path / "then"
        then.mkdir()
        program = [w for w in command(THEN[name], then) if w not in ("relayctl", "run", "--")]
        pathlib.Path(words[-1]).open("a").write(shlex.join(map(str, program)) + "\n")
    done = subprocess.run([str(w) for w in words], env=env, cwd=tmp_path, capture_output=True,
                          check=False, timeout=120, stdin=subprocess.DEVNULL)
    said = done.stdout.decode() + done.stderr.decode()
    assert done.returncode == 0, said
    text = BLOCKS[THEN.get(name, name)][1]
    if "DESTINATION" not in text:
        return
    seen = origin.seen()
    assert len(seen) == 1, said
    if name == "git":
        assert seen[0].head.startswith(b"GET /charges/info/refs")
    elif name == "node-sdk":
        assert seen[0].body == b"4242424242424242"
    else:
        assert seen[0].body == CARD.encode()
    assert b"proxy-authorization" not in seen[0].head.lower()
    assert env["RELAY_API_KEY"] not in said
