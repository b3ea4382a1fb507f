"""git through egress: a repository over plain HTTPS.  Peers: git's own client, a server of
files behind TLS.  git asks for credentials by 407 first, unless told not to."""
import contextlib
import functools
import http.server
import os
import ssl
import subprocess
import threading
import urllib.parse

import pytest

from conftest import PREFIX, need


class Files(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Nobody reads it."""


@contextlib.contextmanager
def serving(folder, ca):
    """Files of a folder over TLS; gives the port."""
    chain, key = ca.leaf("files", ["localhost", "git.shop.test"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    handler = functools.partial(Files, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def git(folder, *words, code=0, **env):
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1",
           "GIT_TERMINAL_PROMPT": "0", "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com",
           "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.com"} | env
    done = subprocess.run(["git", *map(str, words)], cwd=folder, env=env, capture_output=True,
                          check=False, timeout=100)
    assert code is None or done.returncode == code, done.stderr.decode()
    return done


@pytest.fixture(scope="module")
def repository(tmp_path_factory, ca):
    """(port, head): a bare repository that needs no program on the server's side."""
    need("git")
    top = tmp_path_factory.mktemp("git")
    work = top / "work"
    work.mkdir()
    git(work, "init", "-q", "-b", "main")
    for i in range(3):
        (work / "file").write_bytes(os.urandom(200_000))
        git(work, "add", "file")
        git(work, "commit", "-q", "-m", f"change {i}")
    git(top, "clone", "-q", "--bare", "work", "served/thing.git")
    git(top / "served/thing.git", "update-server-info")
    head = git(work, "rev-parse", "HEAD").stdout.decode().strip()
    with serving(top / "served", ca) as port:
        yield port, head


def options(stack, kind, key=..., trusted=None, method=None):
    app, good = stack.app()
    key = urllib.parse.quote(good if key is ... else key, safe="")
    who = f"{app}:{key}@" if key else ""
    scheme = "http" if kind == "egress-plain" else "https"
    words = [f"http.proxy={scheme}://{who}localhost:{stack.ports[kind]}",
             f"http.proxySSLCAInfo={stack.ca.pem}", f"http.sslCAInfo={trusted or stack.ca.pem}"]
    if method:
        words.append(f"http.proxyAuthMethod={method}")
    return [w for word in words for w in ("-c", word)]


@pytest.mark.parametrize("kind,method", [("egress-strict", None), ("egress-strict", "basic"),
                                         ("egress", "basic")])
def test_ls_remote_and_clone(egress, repository, published_ca, tmp_path, kind, method):
    port, head = repository
    words = options(egress, kind, trusted=published_ca, method=method)
    url = f"https://localhost:{port}/thing.git"
    listed = git(tmp_path, *words, "ls-remote", url, "refs/heads/main")
    assert listed.stdout.decode().split() == [head, "refs/heads/main"]
    git(tmp_path, *words, "clone", "-q", url, "copy")
    assert git(tmp_path / "copy", "rev-parse", "HEAD").stdout.decode().strip() == head
    git(tmp_path / "copy", "fsck", "--strict")
    assert egress.app()[1] not in egress.logs()


def test_the_second_connect_comes_on_the_same_connection(egress, repository, tmp_path):
    """As a 407 that keeps it lets it: one connection that is asked, and told."""
    port, _ = repository
    done = git(tmp_path, *options(egress, "egress-strict"), "ls-remote",
               f"https://localhost:{port}/thing.git", GIT_TRACE_CURL="1", GIT_CURL_VERBOSE="1")
    said = done.stderr.decode()
    assert said.count("HTTP/1.1 407") == 1 and "HTTP/1.1 200 OK" in said
    assert "Connection #0" in said and "Connection #1" not in said


def test_the_plain_listener_with_the_key_inside(egress, repository, tmp_path):
    port, head = repository
    words = options(egress, "egress-plain", key="")
    words += ["-c", f"http.extraHeader=Proxy-Authorization: {egress.app()[1]}"]
    listed = git(tmp_path, *words, "ls-remote", f"https://localhost:{port}/thing.git", "HEAD")
    assert listed.stdout.decode().split()[0] == head


def test_under_relayctl_run(egress, tmp_path, repository):
    """Its variables are all that git is told; the name is none that stays off proxies."""
    port, head = repository
    app, key = egress.app()
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_TERMINAL_PROMPT": "0",
           "RELAY_APP_ID": app, "RELAY_API_KEY": key}
    done = subprocess.run([PREFIX / "bin/relayctl", "-c", egress.dir / "relay.conf", "run", "--",
                           "git", "ls-remote", f"https://git.shop.test:{port}/thing.git", "HEAD"],
                          env=env, capture_output=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().split()[0] == head


def test_a_wrong_key(egress, repository, tmp_path):
    port, _ = repository
    done = git(tmp_path, *options(egress, "egress-strict", key="ev:key:1:wrong"), "ls-remote",
               f"https://localhost:{port}/thing.git", code=128)
    assert b"407" in done.stderr


def test_a_client_that_does_not_trust_us(egress, repository, foreign_ca, tmp_path):
    port, _ = repository
    with egress.logs_more("tunnel unused host=localhost"):
        done = git(tmp_path, *options(egress, "egress", trusted=foreign_ca, method="basic"),
                   "ls-remote", f"https://localhost:{port}/thing.git", code=128)
    assert b"certificate" in done.stderr
