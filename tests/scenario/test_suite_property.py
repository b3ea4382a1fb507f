"""Random documents under random selectors: what must be sealed says an evaluator
of its own (json_oracle).  At the origin every chosen value is a token that opens
to it, at the client the document is back, and no other byte ever changes.  A
failure prints its seed; RELAY_SEED=N runs that one again."""
import os
import random

import pytest

import json_oracle
from conftest import route
from suites import Failures, road

# What the generator may write.  Functions are left to jsonpath-cts.
FEATURES = ("name", "index", "wildcard", "descendant", "slice", "filter")
ROUTES, DOCUMENTS = 60, 12      # documents for each route
NAMES = ["a", "b", "card", "number", "", "a b", "'", '"', "\\", "/", "é", "日本", "𝄞", "$", "*",
         "0", "length", "\n"]
PLAIN = ["a", "b", "card", "number", "é", "日本"]       # may stand behind a dot
NUMBERS = ["0", "-0", "1", "-1", "7", "1.0", "1.50", "1e5", "1E+2", "-0.0e-7", "1e400",
           "0.1", "123456789012345678901234567890", "9007199254740993", "3.14159265358979323846264"]
STRINGS = ["", "a", "4111111111111111", "with \"quotes\" and \\", "line\nend\ttab", "\u0001", "é",
           "𝄞 music", "ev:not-a-token:$", "</script>", "\u2028", "x" * 300, "null", "12"]
SPACES = ["", "", "", " ", "\n", "\t ", "\r\n  "]
OPERATORS = ("==", "!=", "<", "<=", ">", ">=")


# ---- documents --------------------------------------------------------------------------

def spelled(rng, text):
    """A JSON string of this text, in one of its many spellings."""
    short = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    out = ""
    for c in text:
        units = c.encode("utf-16-be").hex()
        escape = "".join("\\u" + units[i:i + 4] for i in range(0, len(units), 4))
        if c in short:
            out += rng.choice([short[c], escape])
        elif c < " ":
            out += rng.choice([escape, escape.upper().replace("\\U", "\\u")])
        elif c == "/":
            out += rng.choice(["/", "\\/"])
        else:
            out += escape if rng.random() < 0.1 else c
    return f'"{out}"'


def value(rng, duplicates, depth=0):
    space = lambda: rng.choice(SPACES)
    kind = rng.random()
    if depth < 5 and kind < 0.30 - 0.03 * depth or depth == 0 and kind < 0.5:
        members = [(rng.choice(NAMES if rng.random() < 0.4 else PLAIN),
                    value(rng, duplicates, depth + 1)) for _ in range(rng.randrange(6))]
        if not duplicates:
            members = list(dict(members).items())
        return "{" + ",".join(f"{space()}{spelled(rng, n)}{space()}:{space()}{v}{space()}"
                              for n, v in members) + space() + "}"
    if depth < 5 and kind < 0.55 - 0.03 * depth or depth == 0:
        return "[" + ",".join(space() + value(rng, duplicates, depth + 1) + space()
                              for _ in range(rng.randrange(6))) + space() + "]"
    if kind < 0.75:
        return rng.choice(NUMBERS)
    if kind < 0.9:
        return spelled(rng, rng.choice(STRINGS))
    return rng.choice(["true", "false", "null"])


# ---- selectors: (query as data for the oracle, its text for the product) -----------------

def quoted(rng, name):
    """A name selector in one of its spellings (RFC 9535 2.3.1)."""
    if rng.random() < 0.5:
        return spelled(rng, name)
    body = spelled(rng, name)[1:-1].replace('\\"', '"').replace("'", "\\'")
    return f"'{body}'"


def selector(rng, features):
    kind = rng.choice([f for f in features if f != "descendant"])
    if kind == "name":
        name = rng.choice(NAMES if rng.random() < 0.4 else PLAIN)
        return ("name", name), quoted(rng, name)
    if kind == "index":
        i = rng.randrange(-4, 5)
        return ("index", i), str(i)
    if kind == "slice":
        a, b, step = (rng.choice([None, rng.randrange(-4, 5)]) for _ in range(3))
        text = f"{'' if a is None else a}:{'' if b is None else b}"
        return ("slice", a, b, step), text + ("" if step is None else f":{step}")
    if kind == "filter":
        test, text = condition(rng)
        return ("filter", test), "?" + text
    return ("wildcard",), "*"


def condition(rng, depth=0):
    kind = rng.random()
    if depth < 2 and kind < 0.3:
        word, sign = rng.choice([("and", "&&"), ("or", "||")])
        (a, ta), (b, tb) = condition(rng, depth + 1), condition(rng, depth + 1)
        return (word, a, b), f"({ta} {sign} {tb})"
    if depth < 2 and kind < 0.4:
        test, text = condition(rng, depth + 1)
        return ("not", test), f"!({text})"
    name = rng.choice(PLAIN)
    relative, text = ([], "@") if kind < 0.6 else ([(False, [("name", name)])], f"@.{name}")
    if relative and kind < 0.8:
        return ("exists", relative), text
    operator = rng.choice(OPERATORS)
    literal = rng.choice(["1", "7", "0.1", "1.5", '"a"', '"4111111111111111"', "true", "null"])
    return ("compare", operator, relative, literal), f"{text} {operator} {literal}"


def segment(rng, features):
    descendant = "descendant" in features and rng.random() < 0.3
    chosen = [selector(rng, features) for _ in range(rng.choice([1, 1, 1, 2, 3]))]
    data = (descendant, [d for d, _ in chosen])
    first = chosen[0][0]
    dots = ".." if descendant else "."
    if len(chosen) == 1 and rng.random() < 0.7:
        if first[0] == "wildcard":
            return data, dots + "*"
        if first[0] == "name" and first[1] in PLAIN:
            return data, dots + first[1]
    return data, (".." if descendant else "") + "[" + ",".join(t for _, t in chosen) + "]"


def query(rng, features=FEATURES):
    parts = [segment(rng, features) for _ in range(rng.randrange(1, 4))]
    return [d for d, _ in parts], "$" + "".join(t for _, t in parts)


# ---- the property -----------------------------------------------------------------------

@pytest.fixture(scope="module")
def served(tmp_path_factory, ca):
    with road(tmp_path_factory, ca) as r:
        yield r


SEEDS = ([int(os.environ["RELAY_SEED"])] if "RELAY_SEED" in os.environ else
         [20240229, random.SystemRandom().randrange(10 ** 9)])


def filters(rule):
    return any(s[0] == "filter" for q, _ in rule for _, selectors in q for s in selectors)


@pytest.mark.parametrize("number", range(len(SEEDS)), ids=["known", "fresh"][:len(SEEDS)])
def test_only_what_is_chosen_is_sealed(served, number):
    seed = SEEDS[number]
    rng = random.Random(seed)
    print(f"RELAY_SEED={seed}")
    rules = [[query(rng) for _ in range(rng.choice([1, 1, 2, 3]))] for _ in range(ROUTES)]
    host = f"s{number}.relay.test"
    # A filter that looks at a value does not find it again when it is sealed.
    served.relay(host, [
        route("POST", f"/{i}", encrypt=[t for _, t in rule],
              decrypt=["$..*"] if filters(rule) else [t for _, t in rule])
        for i, rule in enumerate(rules)])
    open_token = served.opener()
    failures, sealed = Failures(), 0
    for i, rule in enumerate(rules):
        for _ in range(DOCUMENTS):
            body = value(rng, duplicates=not filters(rule)).encode()
            name = f"RELAY_SEED={seed} {[t for _, t in rule]} on {body!r}"
            with failures.of(name):
                root = json_oracle.parse(body)
                leaves = json_oracle.chosen(root, [q for q, _ in rule])
                sealed += len(leaves)
                reply, seen = served.post(f"/{i}", body, host=host)
                assert reply.status == 200, reply
                json_oracle.check_sealed(body, seen[0].body, leaves, open_token)
                json_oracle.check_opened(body, reply.body, leaves)
    assert sealed > 500, "the generator chooses something"
    failures.check(ROUTES * DOCUMENTS)
