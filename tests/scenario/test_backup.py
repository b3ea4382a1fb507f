"""A backup is what can be restored: records and k of n shares, on another
machine, after an engine of its own has opened what the old one sealed."""
import hashlib
import hmac
import itertools
import json
import os
import pathlib
import pwd
import shutil
import signal
import struct
import subprocess

import pytest

import record_reader
from conftest import PREFIX, Stack, pid_gone, running, until

APPS = ["one", "two", "three"]
CURVES = ["r1", "k1"]
ARCHIVE = "records.relaybackup"
PROOFS = pathlib.Path("/dev/shm")


def token(stack, app, curve, value):
    return stack.ctl("encrypt", "--app", app, "--curve", curve,
                     data=value.encode()).stdout.decode().strip()


def back_up(stack, name, shares=5, threshold=3, code=0):
    out = stack.dir / name
    r = stack.ctl("backup", "--out", out, "--shares", shares, "--threshold", threshold, "--json",
                  code=code)
    return out, json.loads(r.stdout) if r.stdout else r


def share(folder, number, of=5):
    return folder / f"share-{number}-of-{of}.txt"


def restore_words(folder, numbers, *more, of=5):
    shares = [word for n in numbers for word in ("--share", share(folder, n, of))]
    return ["restore", "--from", folder, *shares, *more]


def restore(stack, folder, numbers, *more, code=0):
    return stack.ctl(*restore_words(folder, numbers, *more), code=code)


@pytest.fixture(scope="module")
def source(tmp_path_factory, ca):
    """The machine that is backed up: three apps, a token of each curve, a backup."""
    with running(tmp_path_factory.mktemp("source"), ca, redis=False) as stack:
        stack.tokens = {}
        for name in APPS:
            app, key = stack.app(name)
            for curve in CURVES:
                value = f"{name} on {curve}"
                stack.tokens[token(stack, app, curve, value)] = (key, value)
        stack.backup, stack.said = back_up(stack, "backup")
        yield stack
        assert not list(PROOFS.glob("relay-proof.*"))


@pytest.fixture
def fresh(tmp_path, ca):
    """Another machine: configured, and nothing on it."""
    folder = tmp_path / "fresh"
    folder.mkdir()
    stack = Stack(folder, ca, redis=False, start=False)
    shutil.rmtree(folder / "link")
    (folder / "root.key").unlink()
    yield stack
    stack.stop()


def nothing_written(stack):
    return not (stack.dir / "root.key").exists() and not list(stack.dir.glob("e3/*"))


def opens_everything(stack, tokens):
    for text, (key, value) in tokens.items():
        out = stack.ctl("decrypt", "--api-key", key, data=text.encode()).stdout
        assert value.encode() in out


# ---- what a backup is -----------------------------------------------------------------

def test_a_backup_says_what_it_holds(source):
    assert source.said["apps"] == len(APPS)
    assert source.said["checks"] == len(APPS) * len(CURVES)
    root = (source.dir / "root.key").read_bytes()
    assert source.said["key"] == hashlib.sha256(root).hexdigest()[:8]
    files = sorted(source.backup.iterdir())
    assert [f.name for f in files] == [ARCHIVE] + [f"share-{n}-of-5.txt" for n in range(1, 6)]
    assert source.backup.stat().st_mode & 0o7777 == 0o700
    assert all(f.stat().st_mode & 0o7777 == 0o400 for f in files)


def test_the_archive_alone_holds_no_secret(source):
    root = (source.dir / "root.key").read_bytes()
    data = (source.backup / ARCHIVE).read_bytes()
    secrets = [root]
    for f in (source.dir / "e3").glob("*.rec"):
        secrets += record_reader.read(f.read_bytes(), root)[3]
    assert len(secrets) == 1 + len(APPS) * len(CURVES)
    assert not any(s in data or s.hex().encode() in data for s in secrets)
    for n in range(1, 6):
        text = share(source.backup, n).read_text().replace(" ", "")
        assert root.hex() not in text


def test_nothing_is_overwritten(source):
    before = {f: f.read_bytes() for f in source.backup.iterdir()}
    r = source.ctl("backup", "--out", source.backup, "--shares", 3, "--threshold", 2, code=3)
    assert b"exists" in r.stderr
    assert before == {f: f.read_bytes() for f in source.backup.iterdir()}


@pytest.mark.parametrize("shares, threshold", [(5, 1), (1, 1), (5, 6), (256, 3), (0, 0),
                                               (5, "x")])
def test_what_is_no_split_is_refused(source, shares, threshold):
    out = source.dir / "refused"
    source.ctl("backup", "--out", out, "--shares", shares, "--threshold", threshold, code=2)
    assert not out.exists()


def test_two_backups_share_nothing(source):
    """The coefficients are random: a share of today says nothing with one of yesterday."""
    out, said = back_up(source, "again")
    assert said["key"] == source.said["key"]
    one, other = ([line for line in share(d, 1).read_text().splitlines()
                   if line.startswith(("share:", "set:"))] for d in (source.backup, out))
    assert len(one) == 2 and not set(one) & set(other)


def test_records_alone_go_with_the_shares_of_an_earlier_backup(source):
    """Records every night; the custodians of the shares sleep."""
    source.ctl("backup", "--out", source.dir / "nightly", "--no-shares")
    assert [f.name for f in (source.dir / "nightly").iterdir()] == [ARCHIVE]
    words = ["restore", "--rehearse", "--from", source.dir / "nightly"]
    # as the shell expands --share share-[135]-of-5.txt
    words += ["--share"] + [share(source.backup, n) for n in (1, 3, 5)]
    assert b"3 apps" in source.ctl(*words).stdout


def test_a_rotation_under_way_is_refused(source):
    following = source.dir / "root.key.next"
    following.write_bytes(bytes(32))
    r = source.ctl("backup", "--out", source.dir / "refused", "--no-shares", code=1)
    following.unlink()
    assert b"root.key.next" in r.stderr and b"rotat" in r.stderr
    assert not (source.dir / "refused").exists()


def test_another_root_key_is_noticed_when_the_backup_is_made(source, tmp_path):
    other = tmp_path / "other.key"
    other.write_bytes(os.urandom(32))
    other.chmod(0o400)
    r = source.ctl("backup", "--out", source.dir / "refused", "--shares", 3, "--threshold", 2,
                   "--root-key", other, code=1)
    assert b"do not open" in r.stderr
    assert not (source.dir / "refused").exists()


def test_a_damaged_record_is_named_and_the_others_are_saved(make_stack):
    stack = make_stack(redis=False)
    good, _ = stack.app("good")
    bad, _ = stack.app("bad")
    (stack.dir / f"e3/{bad}.rec").write_bytes(b"not a record")
    out, _ = stack.dir / "backup", None
    r = stack.ctl("backup", "--out", out, "--shares", 3, "--threshold", 2, code=1)
    assert bad.encode() in r.stderr and good.encode() not in r.stderr
    said = json.loads(stack.ctl("restore", "--rehearse", "--json", "--from", out, "--share",
                                share(out, 1, 3), share(out, 3, 3)).stdout)
    assert said["apps"] == 1 and said["checks"] == 2


def test_an_installation_without_apps(make_stack):
    stack = make_stack(redis=False)
    out, said = back_up(stack, "backup", 2, 2)
    assert said["apps"] == said["checks"] == 0
    r = stack.ctl(*restore_words(out, (1, 2), "--rehearse", of=2))
    assert b"0 apps" in r.stdout


# ---- restoring ------------------------------------------------------------------------------

def test_a_machine_is_destroyed_and_its_tokens_open_on_another(source, fresh):
    r = restore(fresh, source.backup, (5, 2, 4))
    assert b"3 apps" in r.stdout and b"6 check values" in r.stdout
    assert (fresh.dir / "root.key").stat().st_mode & 0o7777 == 0o400
    for f in (source.dir / "e3").glob("*.rec"):
        assert (fresh.dir / "e3" / f.name).read_bytes() == f.read_bytes()
    # Link certificates are not part of a backup: the new machine makes its own.
    fresh.ctl("init", "--no-root-key")
    fresh.start()
    opens_everything(fresh, source.tokens)
    fresh.app("made after it")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_records_are_the_helpers_and_the_root_key_is_roots(source, fresh):
    conf = fresh.dir / "relay.conf"
    conf.write_text(conf.read_text().replace('helper_user = ""', 'helper_user = "nobody"'))
    restore(fresh, source.backup, (1, 2, 3))
    nobody = pwd.getpwnam("nobody").pw_uid
    assert (fresh.dir / "root.key").stat().st_uid == 0
    files = [fresh.dir / "e3", *(fresh.dir / "e3").glob("*.rec")]
    assert [f.stat().st_uid for f in files] == [nobody] * (1 + len(APPS))
    assert [f.stat().st_mode & 0o7777 for f in files] == [0o700] + [0o600] * len(APPS)


def test_a_second_restore_finds_all_there(source, fresh):
    restore(fresh, source.backup, (1, 2, 3))
    before = {f: f.read_bytes() for f in fresh.dir.rglob("*") if f.is_file()}
    restore(fresh, source.backup, (3, 4, 5))
    assert before == {f: f.read_bytes() for f in fresh.dir.rglob("*") if f.is_file()}


def test_what_is_there_is_not_overwritten(source, fresh):
    (fresh.dir / "root.key").write_bytes(bytes(32))
    r = restore(fresh, source.backup, (1, 2, 3), code=3)
    assert b"root.key" in r.stderr
    assert (fresh.dir / "root.key").read_bytes() == bytes(32)
    (fresh.dir / "root.key").unlink()
    (fresh.dir / "e3").mkdir(exist_ok=True)
    record = fresh.dir / "e3" / next((source.dir / "e3").glob("*.rec")).name
    record.write_bytes(b"something else")
    r = restore(fresh, source.backup, (1, 2, 3), code=3)
    assert record.name.encode() in r.stderr
    assert record.read_bytes() == b"something else"
    assert not (fresh.dir / "root.key").exists()


@pytest.mark.parametrize("record", [False, True])
def test_a_link_to_nothing_is_not_taken_for_a_file(source, fresh, record):
    """Its name is taken, and nothing is behind it: never a restored file."""
    (fresh.dir / "e3").mkdir(exist_ok=True)
    name = "e3/" + next((source.dir / "e3").glob("*.rec")).name if record else "root.key"
    (fresh.dir / name).symlink_to(fresh.dir / "away")
    r = restore(fresh, source.backup, (1, 2, 3), code=3)
    assert name.encode() in r.stderr and b"exists" in r.stderr
    assert not (fresh.dir / "root.key").exists()


def test_a_running_machine_is_not_restored_into(source):
    r = restore(source, source.backup, (1, 2, 3), code=1)
    assert b"relayd is running" in r.stderr


def forged(folder, tmp_path, change, root_key=None):
    """A copy of the backup with its archive changed and a SHA-256 that fits; by who has
    the root key, with the HMAC that fits, too."""
    copy = tmp_path / "forged"
    shutil.copytree(folder, copy)
    data = bytearray((copy / ARCHIVE).read_bytes()[:-64])
    seal = (copy / ARCHIVE).read_bytes()[-64:-32]
    change(data)
    if root_key:
        use = hmac.digest(root_key, b"relay backup archive 1", "sha256")
        seal = hmac.digest(use, data, "sha256")
    (copy / ARCHIVE).chmod(0o600)
    (copy / ARCHIVE).write_bytes(data + seal + hashlib.sha256(data + seal).digest())
    return copy


def flip_time(data):
    data[35] ^= 1


def flip_token(data):
    data[-10] ^= 1


@pytest.mark.parametrize("change", [flip_time, flip_token])
def test_an_archive_altered_with_care_is_refused(source, fresh, tmp_path, change):
    copy = forged(source.backup, tmp_path, change)
    r = restore(fresh, copy, (1, 2, 3), code=2)
    assert b"altered" in r.stderr and nothing_written(fresh)


def test_a_check_value_that_does_not_open_is_named(source, fresh, tmp_path):
    """The proof is a real one: all digests fit, one token of the archive is false."""
    root = (source.dir / "root.key").read_bytes()
    copy = forged(source.backup, tmp_path, flip_token, root)
    last = max(source.app(name)[0] for name in APPS)
    for more in ((), ("--rehearse",)):
        r = restore(fresh, copy, (1, 2, 3), *more, code=1)
        assert f"app {last}, curve k1".encode() in r.stderr and b"does not open" in r.stderr
        assert r.stderr.count(b"curve") == 1 and nothing_written(fresh)


def test_a_record_that_does_not_open_is_named(source, fresh, tmp_path):
    """Also when the archive's own digests say that it is whole."""
    root = (source.dir / "root.key").read_bytes()
    apps = sorted(source.app(name)[0] for name in APPS)

    def damage(data):
        at, records = 76, []
        for _ in apps:
            size, = struct.unpack(">I", data[at:at + 4])
            if not records:
                data[at + 4 + size - 1] ^= 1        # its tag
            records.append(bytes(data[at + 4:at + 4 + size]))
            at += 4 + size
        records[0] = bytes(data[80:80 + len(records[0])])
        total = hashlib.sha256()
        for app, record in zip(apps, records):
            version = record[6 + len(app):14 + len(app)]
            total.update(app.encode() + b"\0" + version + hashlib.sha256(record).digest())
        data[44:76] = total.digest()

    r = restore(fresh, forged(source.backup, tmp_path, damage, root), (1, 2, 3), code=1)
    assert f"app {apps[0]}: its record does not open".encode() in r.stderr
    assert apps[1].encode() not in r.stderr and nothing_written(fresh)


def test_a_damaged_archive_is_refused(source, fresh, tmp_path):
    copy = tmp_path / "damaged"
    shutil.copytree(source.backup, copy)
    whole = (copy / ARCHIVE).read_bytes()
    (copy / ARCHIVE).chmod(0o600)
    for data in (whole[:-1], whole[:100], b"", whole[:200] + bytes([whole[200] ^ 1]) + whole[201:]):
        (copy / ARCHIVE).write_bytes(data)
        r = restore(fresh, copy, (1, 2, 3), code=2)
        assert ARCHIVE.encode() in r.stderr and nothing_written(fresh)


def test_shares_that_do_not_do_are_named(source, fresh, tmp_path):
    other, _ = back_up(source, "of-another-day")
    typed = tmp_path / "typed.txt"
    text = share(source.backup, 2).read_text()
    at = text.index("share: ", text.index("threshold:")) + 9
    typed.write_text(text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1:])
    shares = [share(source.backup, n) for n in range(1, 6)]
    for given, says in [(shares[:2], b"3 are needed"),
                        ([shares[0], shares[1], shares[0]], b"the same share"),
                        ([shares[0], shares[1], share(other, 3)], b"different backups"),
                        ([shares[0], shares[2], typed], b"typed.txt: a typing error"),
                        ([shares[0], shares[1], source.backup / ARCHIVE], b"no share")]:
        words = [word for s in given for word in ("--share", s)]
        r = fresh.ctl("restore", "--from", source.backup, *words, code=2)
        assert says in r.stderr, r.stderr
        assert nothing_written(fresh)


def test_shares_of_another_root_key_are_named(source, fresh, make_stack):
    other = make_stack(redis=False)
    other.app()
    out, _ = back_up(other, "backup", 3, 2)
    r = fresh.ctl("restore", "--from", source.backup, "--share", share(out, 1, 3), "--share",
                  share(out, 2, 3), code=2)
    assert source.said["key"].encode() in r.stderr and nothing_written(fresh)


# ---- rehearsing -----------------------------------------------------------------------------

def test_a_rehearsal_keeps_nothing_but_its_time(source):
    before = {f: f.read_bytes() for f in (source.dir / "e3").glob("*.rec")}
    said = json.loads(restore(source, source.backup, (2, 3, 5), "--rehearse", "--json").stdout)
    assert said["rehearsal"] and said["apps"] == len(APPS)
    noted = int((source.dir / "e3/rehearsed").read_text())
    assert before == {f: f.read_bytes() for f in (source.dir / "e3").glob("*.rec")}
    until("status shows the rehearsal",
          lambda: source.status().get("helper", {}).get("rehearsed_ms") == noted)
    file = source.dir / "e3/statistics.json"
    until("so does the file",
          lambda: file.exists() and json.loads(file.read_text()).get("rehearsed_ms") == noted)
    assert not list(PROOFS.glob("relay-proof.*"))


def test_a_failed_rehearsal_leaves_the_time_of_the_last_good_one(source, tmp_path):
    restore(source, source.backup, (1, 2, 3), "--rehearse")
    noted = (source.dir / "e3/rehearsed").read_bytes()
    copy = forged(source.backup, tmp_path, flip_token)
    restore(source, copy, (1, 2, 3), "--rehearse", code=1)
    restore(source, source.backup, (1, 2), "--rehearse", code=1)
    assert (source.dir / "e3/rehearsed").read_bytes() == noted


# ---- crashes --------------------------------------------------------------------------------

CRASH_POINTS = b"RELAY_CRASH_POINT" in (PREFIX / "bin/relayctl").read_bytes()
needs_crash_points = pytest.mark.skipif(
    not CRASH_POINTS, reason="this build is not of --enable-crash-points")
# Killed between the steps of a file's creation; a disk that is full.
FILE_STEPS = ["file.synced", "file.folder-synced", "full.write"]


def ctl_process(stack, *words, preexec_fn=None, **more):
    return subprocess.Popen([str(PREFIX / "bin/relayctl"), "-c", str(stack.dir / "relay.conf"),
                             *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env={**os.environ, **more}, preexec_fn=preexec_fn)


def children_of(pid):
    text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(p) for p in text.split()]


def each_crash(stack, step, words):
    """Run the command once for each time that it passes this step, and let it end there:
    killed, or told that the disk is full."""
    page = stack.dir / "crash-point"
    for nth in itertools.count(1):
        page.write_bytes(struct.pack("=60sI", step.encode(), nth))
        proc = ctl_process(stack, *words, RELAY_CRASH_POINT=str(page))
        out, err = proc.communicate(timeout=60)
        left, = struct.unpack("=60xI", page.read_bytes())
        if left:
            assert proc.returncode == 0, (out, err)
            assert nth > 1, f"{step} is never passed"
            return
        # The proof's own relayd passes steps of files, too.
        assert proc.returncode == -signal.SIGKILL or (proc.returncode == 1 and err), (out, err)
        yield nth


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_proof_leaves_no_engine(source, sig):
    proc = ctl_process(source, *restore_words(source.backup, (1, 2, 3), "--rehearse"))
    relayd, = until("its engine runs", lambda: children_of(proc.pid))
    proc.send_signal(sig)
    out, err = proc.communicate(timeout=60)
    assert proc.returncode in (1, -signal.SIGKILL), (out, err)
    until("its engine is gone", lambda: pid_gone(relayd))
    if sig == signal.SIGKILL:       # nobody was left to tidy up: the next one does
        restore(source, source.backup, (1, 2, 3), "--rehearse")
    assert not list(PROOFS.glob("relay-proof.*"))


def test_an_engine_is_awaited_where_children_are_ignored(source):
    """Some start their children so; its end must be seen nevertheless, and its pid never
    be another's when it is killed."""
    proc = ctl_process(source, *restore_words(source.backup, (1, 2, 3), "--rehearse", "--json"),
                       preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    out, err = proc.communicate(timeout=60)
    assert proc.returncode == 0, err
    assert json.loads(out)["took_ms"] < 15000       # END_MS, when it is not seen


@needs_crash_points
@pytest.mark.parametrize("step", [*FILE_STEPS, "backup.written", "backup.kept"])
def test_a_backup_that_is_cut_off_is_whole_or_not_there(source, step):
    out = source.dir / f"cut-{step}"
    words = ["backup", "--out", out, "--shares", 3, "--threshold", 2]
    for _ in each_crash(source, step, words):
        assert out.exists() == (step == "backup.kept")
        if out.exists():
            shutil.rmtree(out)
    assert len(list(out.iterdir())) == 4
    source.ctl("restore", "--rehearse", "--from", out, "--share", share(out, 1, 3),
               share(out, 2, 3))
    assert not list(source.dir.glob(".relay-backup.*"))
    assert not list(PROOFS.glob("relay-proof.*"))


@needs_crash_points
@pytest.mark.parametrize("step", [*FILE_STEPS, "restore.proved", "restore.record",
                                  "restore.records", "restore.root-key"])
def test_a_restore_that_is_cut_off_is_completed_by_the_next(source, fresh, step):
    """A root key is whole or not there, and where it is there all records are."""
    root = (source.dir / "root.key").read_bytes()
    records = {f.name: f.read_bytes() for f in (source.dir / "e3").glob("*.rec")}
    words = restore_words(source.backup, (1, 2, 3))
    for nth in each_crash(fresh, step, words):
        there = {f.name: f.read_bytes() for f in (fresh.dir / "e3").glob("*.rec")}
        assert there.items() <= records.items()
        if (fresh.dir / "root.key").exists():
            assert (fresh.dir / "root.key").read_bytes() == root and there == records
        # now and then the next one goes on from what is there
        if nth % 2:
            shutil.rmtree(fresh.dir / "e3", ignore_errors=True)
            (fresh.dir / "root.key").unlink(missing_ok=True)
    assert (fresh.dir / "root.key").read_bytes() == root
    assert {f.name: f.read_bytes() for f in (fresh.dir / "e3").glob("*.rec")} == records
    assert not list(fresh.dir.glob("root.key.*"))
    assert not list(PROOFS.glob("relay-proof.*"))


@needs_crash_points
def test_what_is_there_already_is_made_durable(source, fresh):
    """A restore that failed when it made a name durable left that file; the next one says
    "done" only when it is."""
    words = restore_words(source.backup, (1, 2, 3))
    restore(fresh, source.backup, (1, 2, 3))
    for _ in each_crash(fresh, "full.folders", words):
        assert (fresh.dir / "root.key").exists()
