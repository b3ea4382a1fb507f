"""The egress CA, by relayctl, openssl and the real processes: made in the engine,
signed by a root outside, installed with a date, leaves issued to workers and to
nobody else, and what a restart, a rotation of the root key and a backup keep."""
import contextlib
import datetime
import json
import re
import signal
import ssl
import subprocess
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import record_reader
from api_stage import call
from conftest import stopped, until
from egress_stage import Tunnel
from rpc_client import Refused, connect

DAY_S = 86_400


def openssl(*words, data=None, code=0):
    r = subprocess.run(["openssl", *map(str, words)], input=data, capture_output=True, check=False,
                       timeout=60)
    assert code is None or r.returncode == code, (words, r.stdout, r.stderr)
    return r.stdout.decode() + r.stderr.decode()


def make_root(folder, pathlen=""):
    """An operator's own root, by openssl alone."""
    pem, key = folder / "own-root.pem", folder / "own-root.key"
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", pem,
            "-days", 400, "-subj", "/CN=Own root",
            "-addext", f"basicConstraints=critical,CA:TRUE{pathlen}",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    return pem, key


def sign_by_openssl(folder, request, root, extra="", copy=True):
    """-> the chain that `ca install` takes"""
    pem, key = root
    (folder / "request.csr").write_text(request)
    (folder / "ext.cnf").write_text("basicConstraints=critical,CA:TRUE,pathlen:0\n"
                                    "keyUsage=critical,keyCertSign,cRLSign\n" + extra)
    openssl("x509", "-req", "-in", folder / "request.csr", "-CA", pem, "-CAkey", key, "-days", 90,
            "-extfile", folder / "ext.cnf", *(["-copy_extensions", "copy"] if copy else []),
            "-out", folder / "egress.pem")
    chain = folder / "chain.pem"
    chain.write_text((folder / "egress.pem").read_text() + pem.read_text())
    return chain


def create(stack, *options):
    made = json.loads(stack.ctl("ca", "create", "--json", *options).stdout)
    assert re.fullmatch("ca_[0-9a-f]{12}", made["ca"])
    return made


def shown(stack):
    return {c["ca"]: c for c in json.loads(stack.ctl("ca", "show", "--json").stdout)}


def states(stack):
    return [c["state"] for c in shown(stack).values()]


def public_key():
    key = ec.generate_private_key(ec.SECP256R1())
    return key, key.public_key().public_bytes(serialization.Encoding.DER,
                                              serialization.PublicFormat.SubjectPublicKeyInfo)


def issue(stack, host, role="worker"):
    with connect(stack, role) as link:
        return link.call("IssueLeaf", {"host": host, "publicKey": public_key()[1]})["chain"]


def issue_status(stack, host, role="worker", key=None):
    with connect(stack, role) as link:
        return link.status("IssueLeaf", {"host": host, "publicKey": key or public_key()[1]})


def fingerprint(pem):
    """Of the first certificate, as openssl prints it."""
    return openssl("x509", "-fingerprint", "-sha256", "-noout", data=pem).strip().partition("=")[2]


def verify(folder, chain, anchors, *how):
    """As openssl does it for a client; -> its word."""
    (folder / "leaf-chain.pem").write_text(chain)
    (folder / "anchors.pem").write_bytes(anchors)
    return openssl("verify", "-x509_strict", "-purpose", "sslserver", "-CAfile",
                   folder / "anchors.pem", "-untrusted", folder / "leaf-chain.pem", *how,
                   folder / "leaf-chain.pem", code=None)


def anchors(stack):
    return stack.ctl("ca", "show", "--pem").stdout


def with_ca(stack, *options):
    """A self-signed one that signs."""
    stack.ctl("ca", "create", "--self-signed", *options)
    assert states(stack) == ["signs"]
    return next(iter(shown(stack)))


def issuer(chain):
    """Which CA signed the leaf: the fingerprint of the chain's second certificate."""
    second = chain[chain.index("-----BEGIN", 1):]
    cert = x509.load_pem_x509_certificate(second.encode())
    return cert.fingerprint(hashes.SHA256()).hex(":").upper()


# ---- with a root of one's own -----------------------------------------------------

@pytest.mark.parametrize("tool", ["openssl", "relayctl"])
def test_under_a_root_of_ones_own(stack, tmp_path, tool):
    root = make_root(tmp_path)
    made = create(stack, "--name", "Shop egress")
    assert states(stack) == ["pending"] and anchors(stack) == b""
    assert issue_status(stack, "api.test") == "no-such-key"
    assert "verify OK" in openssl("req", "-verify", "-noout", data=made["csr"].encode())
    assert "CN = Shop egress" in openssl("req", "-subject", "-noout", data=made["csr"].encode())
    if tool == "openssl":
        chain = sign_by_openssl(tmp_path, made["csr"], root, copy=False)
    else:
        (tmp_path / "in.csr").write_text(made["csr"])
        chain = tmp_path / "out.pem"
        stack.ctl("ca", "sign", tmp_path / "in.csr", "--root-cert", root[0], "--root-key", root[1],
                  "--days", "30", "--out", chain)
    done = json.loads(stack.ctl("ca", "install", chain, "--json").stdout)
    assert done["ca"] == made["ca"] and done["confirmed"] and done["unconfirmed"] == []
    assert states(stack) == ["signs"]
    assert anchors(stack) == root[0].read_bytes()
    for host, how in (("api.test", "-verify_hostname"), ("192.0.2.9", "-verify_ip"),
                      ("2001:db8::9", "-verify_ip")):
        leaf = issue(stack, host)
        assert leaf.count("BEGIN CERTIFICATE") == 2
        assert verify(tmp_path, leaf, anchors(stack), how, host).endswith(": OK\n")
        assert "ismatch" in verify(tmp_path, leaf, anchors(stack), "-verify_hostname", "no.test")
    one = shown(stack)[made["ca"]]
    assert one["sha256"] == fingerprint(chain.read_bytes()) != one["anchor_sha256"]
    assert one["anchor_sha256"] == fingerprint(anchors(stack))
    table = stack.ctl("ca", "show").stdout.decode()
    assert made["ca"] in table and one["sha256"] in table and "any" in table
    assert table.splitlines()[0].endswith("TRUST SHA-256")
    assert table.splitlines()[1].endswith(one["anchor_sha256"])


def test_a_leaf_is_what_it_should_be(stack):
    with_ca(stack)
    key, der = public_key()
    with connect(stack, "worker") as link:
        r = link.call("IssueLeaf", {"host": "api.test", "publicKey": der})
        serials = {x509.load_pem_x509_certificate(link.call(
            "IssueLeaf", {"host": "api.test", "publicKey": der})["chain"].encode()).serial_number
            for _ in range(20)}
    assert len(serials) == 20 and all(0 < n < 2 ** 127 and n.bit_length() > 64 for n in serials)
    cert = x509.load_pem_x509_certificate(r["chain"].encode())
    assert cert.public_key().public_numbers() == key.public_key().public_numbers()
    now = time.time()
    start, end = (t.replace(tzinfo=datetime.timezone.utc).timestamp()
                  for t in (cert.not_valid_before, cert.not_valid_after))
    # It cannot begin before its CA, which is an hour old by its own back-dating.
    assert now - 3600 - 60 < start <= now - 3500 and now + DAY_S - 60 < end <= now + DAY_S + 1
    assert abs(r["not_after_ms"] / 1000 - end) < 1
    ext = {e.oid._name: e for e in cert.extensions}
    assert set(ext) == {"basicConstraints", "keyUsage", "extendedKeyUsage", "subjectAltName",
                        "subjectKeyIdentifier", "authorityKeyIdentifier"}
    assert ext["basicConstraints"].critical and not ext["basicConstraints"].value.ca
    usage = ext["keyUsage"].value
    assert usage.digital_signature and not usage.key_cert_sign and not usage.key_encipherment
    stack.wait_log("leaf-issued host=api.test by=", 21)


def test_what_is_no_answer_is_refused(stack, tmp_path):
    root = make_root(tmp_path)
    made = create(stack, "--permit", "shop.test")
    # Name constraints lost on the way; a root below which no CA may be; no root at all.
    chain = sign_by_openssl(tmp_path, made["csr"], root, copy=False)
    r = stack.ctl("ca", "install", chain, code=2)
    assert b"ca-refused" in r.stderr and b"was not installed" in r.stderr
    stack.wait_log(f"ca-refused ca={made['ca']} why=name-constraints")
    (tmp_path / "zero").mkdir()
    zero = make_root(tmp_path / "zero", ",pathlen:0")
    nc = "nameConstraints=critical,permitted;DNS:shop.test\n"
    stack.ctl("ca", "install", sign_by_openssl(tmp_path, made["csr"], zero, nc, copy=False), code=2)
    stack.wait_log("why=path-length")
    sign_by_openssl(tmp_path, made["csr"], root, nc, copy=False)
    stack.ctl("ca", "install", tmp_path / "egress.pem", code=2)
    stack.wait_log("why=no-root")
    # relayctl itself sees what needs no engine.
    for text, why in (("", b"no certificate"), (root[0].read_text(), b"path length 0"),
                      (root[1].read_text() + chain.read_text(), b"private key")):
        (tmp_path / "bad.pem").write_text(text)
        assert why in stack.ctl("ca", "install", tmp_path / "bad.pem", code=2).stderr
    r = stack.ctl("ca", "install", chain, "--at", "yesterday", code=2)
    assert b"--at" in r.stderr
    other = create(stack)
    (tmp_path / "in.csr").write_text(other["csr"])
    r = stack.ctl("ca", "sign", tmp_path / "in.csr", "--root-cert", zero[0], "--root-key", zero[1],
                  code=2)
    assert b"path length is 0" in r.stderr
    r = stack.ctl("ca", "sign", tmp_path / "in.csr", "--root-cert", root[0], "--root-key", zero[1],
                  code=2)
    assert b"not the key of" in r.stderr
    assert states(stack) == ["pending", "pending"]


def test_name_constraints(stack, tmp_path):
    root = make_root(tmp_path)
    made = create(stack, "--permit", "shop.test", "--permit", "pay.test")
    (tmp_path / "in.csr").write_text(made["csr"])
    chain = stack.ctl("ca", "sign", "-", "--root-cert", root[0], "--root-key", root[1],
                      data=made["csr"].encode()).stdout
    stack.ctl("ca", "install", "-", data=chain)
    assert shown(stack)[made["ca"]]["permitted"] == "shop.test,pay.test"
    for host in ("shop.test", "a.b.pay.test"):
        assert verify(tmp_path, issue(stack, host), anchors(stack), "-verify_hostname",
                      host).endswith(": OK\n")
    for host in ("other.test", "notshop.test", "192.0.2.1", "::1"):
        assert issue_status(stack, host) == "not-allowed"
    assert b"bad-request" in stack.ctl("ca", "create", "--permit", "*.test", code=2).stderr


def test_fingerprints_without_a_root(stack):
    create(stack)
    table = stack.ctl("ca", "show").stdout.decode().splitlines()
    assert table[1].split()[-2:] == ["-", "-"]
    assert not {"sha256", "anchor_sha256"} & set(next(iter(shown(stack).values())))
    stack.ctl("ca", "create", "--self-signed")
    one = list(shown(stack).values())[1]
    assert one["sha256"] == one["anchor_sha256"] == fingerprint(anchors(stack))


# ---- who may ----------------------------------------------------------------------

def test_who_may_ask_and_how_often(make_stack):
    stack = make_stack(workers=1, e3_conf="leaf_per_minute = 20\n")
    with_ca(stack)
    for role in ("feed", "helper", "pulse", "admin"):
        assert issue_status(stack, "api.test", role) == "not-allowed"
        with connect(stack, role) as link:
            assert len(link.call("GetCA")["cas"]) == 1
    with connect(stack, "admin") as link:
        for op, body in (("CreateCA", {}), ("InstallCA", {"ca": "x", "chain": ""})):
            assert link.status(op, body) == "not-allowed"       # unsigned
            with connect(stack, "worker") as worker:
                assert worker.status_signed(op, body) == "not-allowed"
    got = [issue_status(stack, f"h{i}.test") for i in range(30)]
    n = got.count("ok")
    assert 20 <= n < 30 and got == ["ok"] * n + ["rate-limited"] * (30 - n)
    with connect(stack, "worker") as link:
        assert link.call("GetStatistics")["leaves"] == n
        for host in ("API.test", "*.test", "a.test:443", "[::1]", "", "a b"):
            assert link.status("IssueLeaf", {"host": host, "publicKey": b""}) == "bad-request"


# ---- rollover ---------------------------------------------------------------------

def test_rollover_at_a_date(stack, tmp_path):
    first = with_ca(stack, "--permit", "shop.test")
    before = issue(stack, "shop.test")
    done = json.loads(stack.ctl("ca", "rotate", "--at", "+8s", "--json").stdout)
    second = done["ca"]
    assert second != first and done["confirmed"]
    found = shown(stack)
    assert found[second]["permitted"] == "shop.test", "made like the one that signs"
    assert [c["state"] for c in found.values()] == ["signs", "published"]
    assert anchors(stack).count(b"BEGIN CERTIFICATE") == 2, "clients learn it before"
    assert issuer(issue(stack, "shop.test")) == found[first]["sha256"]
    until("the second signs, by the clock alone", lambda: states(stack) == ["old", "signs"])
    after = issue(stack, "shop.test")
    assert issuer(after) == found[second]["sha256"]
    assert anchors(stack).startswith(found[second]["pem"].encode())
    for leaf in (before, after):
        assert verify(tmp_path, leaf, anchors(stack), "-verify_hostname",
                      "shop.test").endswith(": OK\n")
    # The old one comes back, at once.
    (tmp_path / "first.pem").write_text(found[first]["pem"])
    stack.ctl("ca", "install", tmp_path / "first.pem")
    assert states(stack) == ["signs", "old"]
    assert issuer(issue(stack, "shop.test")) == found[first]["sha256"]


def test_a_date_that_has_passed_is_now(stack):
    with_ca(stack)
    with connect(stack, "admin") as link:
        made = link.call_signed("CreateCA", {"selfSigned": True})
    store(stack, made)
    with connect(stack, "admin") as link:
        store(stack, link.call_signed("InstallCA", {
            "ca": made["ca"], "chain": made["certificate"], "active_ms": 1_000}))
    assert states(stack) == ["old", "signs"]
    assert shown(stack)[made["ca"]]["active_ms"] / 1000 > time.time() - 600


def slash(stack):
    """What SDKs get of the CA listener."""
    reply = call(stack, "GET", "/", kind="ca")
    assert reply.status == 200 and reply.body.count(b"BEGIN CERTIFICATE") == 1
    return reply.body


def own_ca(make_egress, **options):
    """Every listener, and a self-signed egress CA; a leaf of it is kept by each worker."""
    stack = make_egress(egress_ca=False, **options)
    with_ca(stack)
    many = range(20 * stack.workers)
    until("every worker knows it",
          lambda: all(call(stack, "GET", "/", kind="ca").status == 200 for _ in many))
    assert all(is_in(inside(stack, slash(stack))) for _ in many)
    return stack


@contextlib.contextmanager
def no_leaves_left(stack):
    """Whatever the limit allows is taken by somebody else."""
    ended, first = threading.Event(), threading.Event()

    def take():
        with connect(stack, "worker") as link:
            while not ended.is_set():
                body = {"host": "x.test", "publicKey": public_key()[1]}
                if link.status("IssueLeaf", body) == "rate-limited":
                    first.set()
                    ended.wait(0.05)
    thread = threading.Thread(target=take)
    thread.start()
    try:
        assert first.wait(30)
        yield
    finally:
        ended.set()
        thread.join()


def inside(stack, pem, host="shop.test"):
    """The handshake of a client that trusts just this inside of a new tunnel; -> the tunnel,
    or the alert's reason."""
    file = stack.dir / "trusted.pem"
    file.write_bytes(pem)
    try:
        return Tunnel(stack, f"{host}:443", kind="egress-plain", cafile=file)
    except ssl.SSLCertVerificationError as e:
        return e.verify_message


def is_in(tunnel):
    return isinstance(tunnel, Tunnel)


@pytest.mark.parametrize("workers", [1, 2])
def test_no_tunnel_shows_a_leaf_of_the_former_ca(make_egress, workers):
    stack = own_ca(make_egress, workers=workers)
    first = slash(stack)
    old = inside(stack, first)
    assert is_in(old)
    stack.ctl("ca", "rotate", "--at", "+5s")
    assert slash(stack) == first and is_in(inside(stack, first))
    until("/ has the next one", lambda: slash(stack) != first)
    second = slash(stack)
    assert second == next(c["pem"].encode() for c in shown(stack).values()
                          if c["state"] == "signs")
    # At once, and every worker.
    for _ in range(10 * workers):
        assert is_in(inside(stack, second))
        assert not is_in(inside(stack, first))
    # What is under way lives on; the next signs from now on.
    assert old.request("GET", "/").status == 401
    third = json.loads(stack.ctl("ca", "rotate", "--at", "now", "--json").stdout)["ca"]
    third = shown(stack)[third]["pem"].encode()
    until("a tunnel of the third", lambda: is_in(inside(stack, third)), 3)
    until("no worker is behind",
          lambda: all(is_in(inside(stack, third)) for _ in range(10 * workers)), 3)
    until("/ has the third", lambda: slash(stack) == third, 3)


def test_the_former_leaf_serves_while_the_new_one_is_refused(make_egress):
    stack = own_ca(make_egress, workers=1, e3_conf="leaf_per_minute = 3\n")
    first = slash(stack)
    with no_leaves_left(stack):
        stack.ctl("ca", "rotate", "--at", "now")
        until("/ has the next one", lambda: slash(stack) != first)
        second = slash(stack)
        assert is_in(inside(stack, first)) and is_in(inside(stack, second + first))
        assert not is_in(inside(stack, second))
        stack.wait_log('leaf not issued host=shop.test why="rate-limited"')
        said, hint = doctor_says(stack, "tunnel TLS", 1)
        assert said == "failed: certificate: not of the CA that / of the CA listener gives"
        assert "leaf_per_minute" in hint
    # A minute gives three more.
    until("a leaf of the new CA", lambda: is_in(inside(stack, second)), 60)
    assert doctor_says(stack, "tunnel TLS", 0)[0].startswith("ok: ")


def doctor_says(stack, layer, code):
    """Of the plain listener, the one that needs no certificate of its own."""
    r = stack.ctl("--json", "doctor", "--host", "shop.test", "--egress",
                  f"http://127.0.0.1:{stack.ports['egress-plain']}", "--ca-url",
                  f"http://127.0.0.1:{stack.ports['ca']}/", code=code)
    row, = [x for x in json.loads(r.stdout)["layers"] if x["layer"] == layer]
    return f"{row['result']}: {row['says']}", row.get("hint", "")


def test_the_engine_stands_still(make_egress):
    stack = own_ca(make_egress, workers=1)
    first = slash(stack)
    pid = stack.child("e3d")

    def quick(ask):
        start = time.monotonic()
        said = ask()
        assert time.monotonic() - start < 2     # engine_timeout_ms is 5 s
        return said

    with stopped(pid):
        # Before it counts as lost, after that, and when what is known is old.
        start = time.monotonic()

        def served():
            assert quick(lambda: slash(stack)) == first
            assert quick(lambda: call(stack, "GET", "/ca.pem", kind="ca").body) == first
            return time.monotonic() > start + 4
        until("some seconds of answers", served)
    until("the engine is back", lambda: issue_status(stack, "x.test") == "ok")
    stack.ctl("ca", "rotate", "--at", "+4s")
    until("the workers know the date",
          lambda: call(stack, "GET", "/ca.pem", kind="ca").body.count(b"BEGIN CERT") == 2)
    with stopped(pid):
        # The date is known: the former one is not given any more, nor another guessed.
        until("the date", lambda: call(stack, "GET", "/", kind="ca").code == "engine-unavailable")
        assert call(stack, "GET", "/ca.pem", kind="ca").body.count(b"BEGIN CERTIFICATE") == 2
        # Nobody can sign: the leaf that is there serves.
        assert is_in(quick(lambda: inside(stack, first)))
    until("/ has the next one", lambda: call(stack, "GET", "/", kind="ca").status == 200)
    second = slash(stack)
    assert second != first
    until("tunnels as well", lambda: is_in(inside(stack, second)), 8)


def store(stack, reply):
    """What relayctl's second phase does, to the engine alone."""
    with connect(stack, "helper") as link:
        assert link.call("LoadRecords", {"records": [reply["record"]]})["loaded"] == 1


def test_rotation_under_a_root_gives_a_request(stack, tmp_path):
    r = stack.ctl("ca", "rotate", code=2)
    assert b"ca create" in r.stderr
    root = make_root(tmp_path)
    chain = sign_by_openssl(tmp_path, create(stack)["csr"], root)
    stack.ctl("ca", "install", chain)
    r = stack.ctl("ca", "rotate", "--out", tmp_path / "next.csr")
    assert b"ca install" in r.stderr
    chain = sign_by_openssl(tmp_path, (tmp_path / "next.csr").read_text(), root)
    r = stack.ctl("ca", "install", chain, "--at", "+1d")
    assert b"signs from 20" in r.stdout
    assert states(stack) == ["signs", "published"]
    assert anchors(stack) == root[0].read_bytes(), "one root, once"


def test_not_confirmed_everywhere(stack):
    said = {"name": "e3@ghost", "address": "", "state": "ready", "checksum": "00" * 32, "apps": 0,
            "keys_epoch": 1}
    stack.redis.cli("SADD", "relay:engines", "e3@ghost")
    stack.redis.cli("SET", "relay:engine:e3@ghost", json.dumps(said), "PX", "600000")
    r = stack.ctl("ca", "create", "--self-signed", "--timeout", "1", code=4)
    assert b"e3@ghost" in r.stderr
    assert states(stack) == ["signs"]


# ---- what stays, and what never shows ---------------------------------------------

def test_it_outlives_a_restart_and_a_new_root_key(stack, tmp_path):
    first = with_ca(stack)
    create(stack)
    before, leaf = shown(stack), issue(stack, "a.test")
    old = stack.child("e3d")
    stack.relayd.end(signal.SIGTERM)
    stack.start()
    assert stack.child("e3d") != old
    assert shown(stack) == before
    old_key = (stack.dir / "root.key").read_bytes()
    stack.ctl("root", "rotate")
    assert (stack.dir / "root.key").read_bytes() != old_key
    assert shown(stack) == before
    again = issue(stack, "a.test")
    assert issuer(again) == issuer(leaf) == before[first]["sha256"]
    assert verify(tmp_path, again, anchors(stack), "-verify_hostname", "a.test").endswith(": OK\n")


def test_a_backup_holds_it(stack, tmp_path):
    with_ca(stack)
    stack.app()
    stack.ctl("backup", "--out", tmp_path / "b", "--shares", "3", "--threshold", "2")
    shares = sorted(str(p) for p in (tmp_path / "b").glob("*share*"))[:2]
    stack.ctl("restore", "--from", tmp_path / "b", "--rehearse",
              *[w for s in shares for w in ("--share", s)])


def test_the_private_key_never_shows(stack):
    made = create(stack)
    with_replies = [json.dumps(made)]
    with connect(stack, "admin") as link:
        with_replies.append(repr(link.call("GetCA")))
        with_replies.append(repr(link.call_signed("CreateCA", {"selfSigned": True})))
        for op in ("ListKeys", "ListPairs"):
            with_replies.append(repr(link.call(op, {"app": "app_system"})))
        with pytest.raises(Refused):
            link.call_signed("Rewrap", {"app": "app_system", "curve": "r1", "tokens": []})
        for op, more in (("CreateKey", {}), ("SetRoles", {"roles": []})):
            assert link.status_signed(op, {"app": "app_system", **more}) == "not-allowed"
    record = (stack.dir / "e3/app_system.rec").read_bytes()
    app, _, document, secrets = record_reader.read(record, (stack.dir / "root.key").read_bytes())
    assert app == "app_system" and record[4] == 3
    assert len(document["cas"]) == 1 and len(secrets) == len(document["pairs"]) + 1
    secret = secrets[-1]
    key = ec.derive_private_key(int.from_bytes(secret, "big"), ec.SECP256R1())
    request = x509.load_pem_x509_csr(made["csr"].encode())
    assert request.public_key().public_numbers() == key.public_key().public_numbers()
    assert secret not in record
    shown_text = "".join(with_replies) + stack.logs()
    for form in (secret.hex(), repr(secret)[2:-1], str(int.from_bytes(secret, "big"))):
        assert form not in shown_text
    assert "PRIVATE KEY" not in shown_text
