"""Public HTTP clients as programs with one contract, so that one table of cases fits all.

Each gets METHOD URL FILE (`-`: no body) for each request, and in its environment
    RELAY_PROXY          https://localhost:PORT or http://localhost:PORT
    RELAY_USER, RELAY_KEY    credentials of CONNECT; not set: none
    RELAY_INNER_KEY      Proxy-Authorization of each request inside; not set: none
    RELAY_CA             trusted for destinations; RELAY_PROXY_CA: for the proxy itself
    RELAY_KEEP           yes: one tunnel for all; no: a new one for each request
    RELAY_OUT            a folder: the body of answer n goes to the file n
and prints a line for each answer: its status and its x-evervault-error-code, or `-`.  An
answer that it cannot get is a message on stderr and a status that is not 0.
"""
import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from conftest import NODE_MODULES, need, need_npm

HERE = pathlib.Path(__file__).resolve().parent
PROGRAMS = HERE / "programs"
JARS = [pathlib.Path("/usr/share/java") / f"{n}.jar"
        for n in ("httpclient", "httpcore", "commons-logging", "commons-codec")]
TIMEOUT_S = 120


@dataclasses.dataclass
class Plan:
    """What a client is to do.  way: where its key goes, `connect`, `inner` or None."""
    stack: object
    kind: str
    way: str
    requests: list          # (method, URL, body or None)
    ca: pathlib.Path
    folder: pathlib.Path
    key: str = None         # another one than the app's
    keep: bool = True
    proxy_ca: pathlib.Path = None

    @property
    def proxy(self):
        scheme = "http" if self.kind == "egress-plain" else "https"
        return f"{scheme}://localhost:{self.stack.ports[self.kind]}"

    def environment(self):
        app, key = self.stack.app()
        key = self.key or key
        out = self.folder / "out"
        out.mkdir(exist_ok=True)
        env = {n: v for n, v in os.environ.items() if not n.lower().endswith("_proxy")}
        env |= {"RELAY_PROXY": self.proxy, "RELAY_CA": str(self.ca),
                "RELAY_PROXY_CA": str(self.proxy_ca or self.stack.ca.pem),
                "RELAY_KEEP": "yes" if self.keep else "no", "RELAY_OUT": str(out),
                "RELAY_NODE_MODULES": str(NODE_MODULES), "HOME": str(self.folder)}
        if self.way == "connect":
            env |= {"RELAY_USER": app, "RELAY_KEY": key}
        elif self.way == "inner":
            env |= {"RELAY_INNER_KEY": key}
        return env

    def words(self):
        words = []
        for i, (method, url, body) in enumerate(self.requests):
            file = self.folder / f"body{i}"
            if body is not None:
                file.write_bytes(body)
            words += [method, url, "-" if body is None else str(file)]
        return words


@dataclasses.dataclass
class Result:
    answers: list           # (status, code or None, body)
    code: int
    errors: str

    def statuses(self):
        return [a[0] for a in self.answers]

    def bodies(self):
        return [a[2] for a in self.answers]


class Client:
    """A program of ours around a public client."""

    def __init__(self, name, argv, needs=(), kinds=("egress", "egress-strict", "egress-plain"),
                 inner=True, keeps=True, **env):
        self.name, self.argv, self.needs = name, argv, needs
        self.kinds, self.inner, self.keeps, self.env = kinds, inner, keeps, env

    def check(self):
        """Skip what cannot run here, and say why."""
        need(*self.needs)

    def prepare(self, _build):
        """Argv, compiled first where that is needed."""
        return self.argv

    def roads(self):
        """(listener, where the key goes) that this client can take."""
        roads = [(k, "connect") for k in self.kinds if k != "egress-plain"]
        if self.inner:
            roads += [(k, "inner") for k in self.kinds if k != "egress-strict"]
        return roads

    def run(self, plan, build):
        self.check()
        argv = [*self.prepare(build), *plan.words()]
        done = subprocess.run([str(a) for a in argv], env=plan.environment() | self.env,
                              capture_output=True, check=False, timeout=TIMEOUT_S)
        return self.result(plan, done)

    @staticmethod
    def result(plan, done):
        answers = []
        for i, line in enumerate(done.stdout.decode().splitlines()):
            status, code = line.split()
            answers.append((int(status), None if code == "-" else code,
                            (plan.folder / "out" / str(i)).read_bytes()))
        return Result(answers, done.returncode, done.stderr.decode(errors="replace"))


class Python(Client):
    def __init__(self, module, **more):
        super().__init__(module, ["/usr/bin/python3", PROGRAMS / f"{module}_client.py"],
                         RELAY_MODULE=module, **more)

    def check(self):
        done = subprocess.run(["/usr/bin/python3", "-c", f"import {self.name}"], check=False,
                              capture_output=True)
        if done.returncode != 0:
            pytest.skip(f"python3-{self.name} is not installed")


class Node(Client):
    def __init__(self, way, packages, **more):
        super().__init__(f"node-{way}", ["node", PROGRAMS / "node_client.js"], RELAY_WAY=way,
                         **more)
        self.packages = packages

    def check(self):
        need_npm(*self.packages)


class Go(Client):
    def prepare(self, build):
        program = build / "client-go"
        if not program.exists():
            env = os.environ | {"GOFLAGS": "-mod=mod", "GO111MODULE": "off", "GOPROXY": "off",
                                "GOCACHE": str(build / "go-cache"), "HOME": str(build)}
            subprocess.run(["go", "build", "-o", program, PROGRAMS / "client.go"], env=env,
                           check=True, timeout=TIMEOUT_S)
        return [program]


class Java(Client):
    """One class in one file; Apache's jars are Debian's."""

    def check(self):
        need("javac", "java")
        if self.name == "ApacheClient":
            for jar in JARS:
                if not jar.exists():
                    pytest.skip(f"{jar.name} is not installed (libhttpclient-java)")

    def prepare(self, build):
        path = ":".join([str(build), *map(str, JARS)])
        if not (build / f"{self.name}.class").exists():
            subprocess.run(["javac", "-cp", path, "-d", build, PROGRAMS / f"{self.name}.java"],
                           check=True, timeout=TIMEOUT_S)
        return ["java", "-XX:TieredStopAtLevel=1", *self.argv, "-cp", path, self.name]


class Curl(Client):
    def run(self, plan, build):
        """One process for all requests, each behind --next, in one file of options."""
        self.check()
        env, lines = plan.environment(), []
        for i, (method, url, body) in enumerate(plan.requests):
            if i:
                lines.append("next")
            lines += ["silent", "show-error", "http1.1", 'noproxy = ""',
                      f'request = "{method}"', f'url = "{url}"',
                      f'output = "{env["RELAY_OUT"]}/{i}"',
                      f'proxy = "{plan.proxy}"', f'cacert = "{env["RELAY_CA"]}"',
                      f'proxy-cacert = "{env["RELAY_PROXY_CA"]}"',
                      r'write-out = "%{http_code} %header{x-evervault-error-code}\n"']
            if "RELAY_KEY" in env:
                lines.append(f'proxy-user = "{env["RELAY_USER"]}:{env["RELAY_KEY"]}"')
            if "RELAY_INNER_KEY" in env:
                lines.append(f'header = "Proxy-Authorization: {env["RELAY_INNER_KEY"]}"')
            if not plan.keep:
                lines.append('header = "Connection: close"')
            if body is not None:
                file = plan.folder / f"body{i}"
                file.write_bytes(body)
                lines += [f'data-binary = "@{file}"', 'header = "Content-Type: application/json"']
        options = plan.folder / "curl.conf"
        options.write_text("\n".join(lines) + "\n")
        done = subprocess.run(["curl", "-q", "-K", options], env=env, capture_output=True,
                              check=False, timeout=TIMEOUT_S)
        answers = []
        for i, line in enumerate(done.stdout.decode().splitlines()):
            words = line.split(" ")
            if words[0] == "000":
                continue        # no answer: its message is on stderr
            answers.append((int(words[0]), words[1] or None,
                            (plan.folder / "out" / str(i)).read_bytes()))
        return Result(answers, done.returncode, done.stderr.decode())


class Wget(Client):
    def run(self, plan, build):
        """A process for each request: it cannot send different ones."""
        self.check()
        env, answers, errors, code = plan.environment(), [], "", 0
        env["https_proxy"] = plan.proxy
        for i, (method, url, body) in enumerate(plan.requests):
            out = plan.folder / "out" / str(i)
            argv = ["wget", "--no-config", "-t", "1", "--no-hsts", "--server-response",
                    "--content-on-error", f"--method={method}", f"--ca-certificate={plan.ca}",
                    "-O", out]
            if "RELAY_KEY" in env:
                argv += [f"--proxy-user={env['RELAY_USER']}",
                         f"--proxy-password={env['RELAY_KEY']}"]
            if "RELAY_INNER_KEY" in env:
                argv.append(f"--header=Proxy-Authorization: {env['RELAY_INNER_KEY']}")
            if body is not None:
                file = plan.folder / f"body{i}"
                file.write_bytes(body)
                argv += [f"--body-file={file}", "--header=Content-Type: application/json"]
            done = subprocess.run([*map(str, argv), url], env=env, capture_output=True, check=False,
                                  timeout=TIMEOUT_S)
            said = done.stderr.decode(errors="replace")
            status = re.findall(r"^  HTTP/1\.1 (\d+)", said, re.M)
            found = re.search(r"^  x-evervault-error-code: (\S+)", said, re.M | re.I)
            if status:
                answers.append((int(status[-1]), found and found.group(1), out.read_bytes()))
            errors, code = errors + said, code or done.returncode
        return Result(answers, code if len(answers) < len(plan.requests) else 0, errors)


CLIENTS = [
    Curl("curl", [], ["curl"]),
    Wget("wget", [], ["wget"], kinds=("egress-plain",), keeps=False),
    Node("https-proxy-agent", ["https-proxy-agent"]),
    Node("axios", ["https-proxy-agent", "axios"]),
    # It refuses a Proxy-Authorization of the user's among a request's fields.
    Node("undici", ["undici"], kinds=("egress", "egress-strict"), inner=False),
    Node("fetch", ["undici"], kinds=("egress", "egress-strict"), inner=False),
    Python("requests"),
    Python("urllib3"),
    Python("aiohttp"),
    # Debian's httpcore trusts the system's store alone for a proxy, whatever it is told.
    Python("httpx", kinds=("egress-plain",)),
    Go("go", [], ["go"]),
    Go("go-bare", [], ["go"], inner=False, RELAY_WAY="bare"),
    Java("ApacheClient", [], kinds=("egress-strict", "egress-plain")),
    Client("ruby", ["ruby", PROGRAMS / "client.rb"], ["ruby"], kinds=("egress-plain",)),
    Client("php", ["php", PROGRAMS / "client.php"], ["php"]),
]
BY_NAME = {c.name: c for c in CLIENTS}
ROADS = [(c.name, kind, way) for c in CLIENTS for kind, way in c.roads()]


def big_body(tokens, size=2 << 20):
    """A JSON list of about so many bytes with tokens all over it."""
    filler = "x" * (size // len(tokens))
    return json.dumps([t for token in tokens for t in (token, filler)]).encode()


__all__ = ["BY_NAME", "CLIENTS", "ROADS", "Java", "Plan", "Result", "big_body"]
