"""relayctl select: the JSONPath compliance suite through the program, its errors
and its limits."""
import json
import subprocess

import pytest

from conftest import PREFIX, SHARED

RELAYCTL = PREFIX / "bin/relayctl"
CTS = SHARED / "suites/jsonpath-cts/cts.json"


def select(path, document, *options):
    return subprocess.run([str(RELAYCTL), *options, "select", path], input=document,
                          capture_output=True, check=False, timeout=300)


def lines(values, paths):
    return "".join(f"{path}\t{json.dumps(value, separators=(',', ':'))}\n"
                   for value, path in zip(values, paths, strict=True)).encode()


def wanted(case):
    """Every output that is right: the order of an object's members is open."""
    if "results" in case:
        return [lines(*pair) for pair in zip(case["results"], case["results_paths"],
                                             strict=True)]
    return [lines(case["result"], case["result_paths"])]


def judge(case):
    """What is wrong with the answer to a case; empty if nothing."""
    path = case["selector"].encode("utf-8", "surrogatepass")
    if case.get("invalid_selector"):
        r = select(path, b"[]")
        good = (r.returncode == 2 and r.stdout == b"" and r.stderr.count(b"\n") == 1 and
                r.stderr.startswith(b"relayctl: path: at byte ") and
                r.stderr.endswith((b" (not well-formed)\n", b" (not valid)\n")))
    else:
        r = select(path, json.dumps(case["document"], indent=2).encode())
        good = (r.returncode == 0 and r.stdout in wanted(case) and
                (r.stderr == b"" or r.stderr.endswith(b": it matches nothing\n")))
    return "" if good else f"{case['name']}: {path}: {r}\n"


def test_compliance_suite():
    if not CTS.is_file():
        pytest.skip(f"no {CTS} (RELAY_SHARED)")
    cases = json.loads(CTS.read_text())["tests"]
    # A process for each third case, every case is in the unit test; there also
    # those with a NUL, which no argument of a program holds.
    cases = [case for case in cases[::3] if "\0" not in case["selector"]]
    assert len(cases) > 230
    assert "".join(map(judge, cases)) == ""


DOC = b"""{ "cards" : [ {"type":"credit", "number":"4111111111111111","n":1.50},
 { "number" : "4222 2222","type":"debit", "n" : 9007199254740993 } ], "want":"4[0-9]{15}" }"""


@pytest.mark.parametrize("path,shown", [
    ("$.cards[?@.type=='debit'].n", ["$['cards'][1]['n']\t9007199254740993"]),
    ("$.cards[?@.n==9007199254740992]", []),
    ("$.cards[?@.n==1.5].n", ["$['cards'][0]['n']\t1.50"]),
    ("$.cards[::-1].type", ["$['cards'][1]['type']\t\"debit\"",
                            "$['cards'][0]['type']\t\"credit\""]),
    ("$.cards[?match(@.number, $.want)].number",
     ["$['cards'][0]['number']\t\"4111111111111111\""]),
    ("$.cards[1,1]['number','type']",
     ["$['cards'][1]['number']\t\"4222 2222\"", "$['cards'][1]['type']\t\"debit\""] * 2),
    ("$.cards[?@==$.cards[1]]",
     ["$['cards'][1]\t{\"number\":\"4222 2222\",\"type\":\"debit\",\"n\":9007199254740993}"]),
    ("$.cards[?count(@.*)>3]", []),
])
def test_values_are_shown_as_they_stand(path, shown):
    r = select(path, DOC)
    assert (r.returncode, r.stderr) == (0, b"")
    assert r.stdout.decode().splitlines() == shown
    as_json = select(path, DOC, "--json")
    assert [node["path"] for node in json.loads(as_json.stdout)] == [
        line.split("\t")[0] for line in shown]


@pytest.mark.parametrize("path,message", [
    ("$.a[?@.b", "at byte 8: a bracket is not closed (not well-formed)"),
    ("$.a[1:2:3:4]", "at byte 9: a bracket is not closed (not well-formed)"),
    ("$[?@.a=1]", "at byte 6: a bracket is not closed (not well-formed)"),
    ("$[?@.*==1]", "at byte 9: only single values can be compared (not well-formed)"),
    ("$[9007199254740992]", "at byte 18: an integer is too large (not valid)"),
    ("$[?length(@)]", "at byte 12: a value must be compared (not valid)"),
    ("$[?count('x')>1]", "at byte 12: an argument has the wrong type (not valid)"),
    ("$[?reverse(@)=='x']", "at byte 10: unknown function (not valid)"),
    ("$[?" + "(" * 100, "at byte 35: nested too deep"),
    ("$[?match(@,'a{70000}')]", "at byte 11: the pattern is too large"),
    ("$." + "a" * 1023, "at byte 0: the path is too long"),
])
def test_paths_that_are_none(path, message):
    r = select(path, b"{}")
    assert (r.returncode, r.stdout) == (2, b"")
    assert r.stderr.decode() == f"relayctl: path: {message}\n"


def test_pattern_that_is_no_i_regexp_matches_nothing_and_is_pointed_at():
    r = select(r"$[?search(@,'\\d')]", b'["1"]')
    assert (r.returncode, r.stdout) == (0, b"")
    assert r.stderr == (b"relayctl: path: at byte 12: not an I-Regexp (RFC 9485): "
                        b"it matches nothing\n")


@pytest.mark.parametrize("path,document,status,message", [
    ("$", b"", 2, b"document: at byte 0: "),
    ("$[?@==1]", b'["4111111111111111",', 2, b"document: at byte "),
    ("$", b"[" * 200 + b"]" * 200, 2, b"document: at byte "),
    ("$[?@=='ab']", rb'["a\ud800"]', 2, b"document: a name or a compared text"),
    ("$.*", rb'{"\ud800":1}', 2, b"document: a name or a compared text"),
    ("$[?match(@,'(a*)*[bc]')]", b'["%s"]' % (b"a" * 9999), 1, b"document: too much"),
    ("$[?!match(@,'(a*)*[bc]')]", b'["%s"]' % (b"a" * 9999), 1, b"document: too much"),
    ("$..[?@..[?@..[?@..[?@..[?@..[?@==1]]]]]]", b"[" * 120 + b"]" * 120, 1,
     b"document: too much"),
])
def test_documents_without_an_answer(path, document, status, message):
    r = select(path, document)
    assert (r.returncode, r.stdout) == (status, b"")
    assert r.stderr.startswith(b"relayctl: " + message) and r.stderr.count(b"\n") == 1
    assert b"4111" not in r.stderr
