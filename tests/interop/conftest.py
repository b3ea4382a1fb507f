"""Real clients against the real processes.  The machinery is that of the scenarios, under
the same name: their helpers import it from `conftest`."""
import importlib.util
import os
import pathlib
import shutil
import sys

import pytest

SCENARIO = pathlib.Path(__file__).resolve().parents[1] / "scenario"
sys.path.insert(0, str(SCENARIO))
spec = importlib.util.spec_from_file_location("scenario_conftest", SCENARIO / "conftest.py")
machinery = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = machinery
spec.loader.exec_module(machinery)
globals().update({n: v for n, v in vars(machinery).items() if not n.startswith("__")})

# npm's packages, from package.json beside this file: tests/run puts them there.
NODE_MODULES = pathlib.Path(os.environ.get(
    "RELAY_NODE_MODULES", machinery.TOP / "build/tests/npm/node_modules"))


@pytest.fixture(scope="session")
def egress(tmp_path_factory, ca):
    """One installation with every listener; all tests of a process share it.  Names below
    shop.test are here."""
    from egress_stage import EgressStack
    from name_server import NameServer
    names = NameServer("shop.test")
    s = EgressStack(tmp_path_factory.mktemp("stack"), ca,
                    conf=f'outbound_poll_s = 1\ndns_servers = "{names.address}"\n')
    yield s
    errors = []
    machinery.sanitizer_check(s, errors)
    s.stop()
    machinery.sanitizer_check(s, errors)
    names.close()
    assert not errors, "\n".join(errors)


@pytest.fixture(scope="session")
def published_ca(egress, tmp_path_factory):
    """What a client is told to trust: the file that the `ca` listener serves."""
    import urllib.request
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{egress.ports['ca']}/", timeout=20) as answer:
        pem = answer.read()
    assert pem.count(b"BEGIN CERTIFICATE") == 1
    path = tmp_path_factory.mktemp("published") / "relay-ca.pem"
    path.write_bytes(pem)
    return path


@pytest.fixture(scope="session")
def foreign_ca(tmp_path_factory):
    """Somebody else's: nothing here is signed by it."""
    return machinery.CA(tmp_path_factory.mktemp("foreign"), "foreign root").pem


def need(*programs):
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def need_npm(*packages):
    need("node")
    for package in packages:
        if not (NODE_MODULES / package / "package.json").exists():
            pytest.skip(f"npm package {package} is not installed (tests/run interop does)")
