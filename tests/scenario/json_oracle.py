"""JSON texts and JSONPath seen by another reader than the product's: a strict
parser that keeps the span of every value (RFC 8259), an evaluator of queries
given as data (RFC 9535), and what sealing and opening may change: the chosen
values and not one byte beside them."""
import decimal
import json
import re

from conftest import TOKEN

MAX_DEPTH = 200         # of this reader; the product stops at 128
SPACE = re.compile(rb"[ \t\n\r]*")
NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
STRING = re.compile(rb'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
WORDS = {b"t": b"true", b"f": b"false", b"n": b"null"}


class Malformed(ValueError):
    """No JSON text; says where."""


class Node:
    """kind: object, array, string, number, boolean, null.  Members keep their
    order and their duplicates."""

    def __init__(self, kind, start):
        self.kind, self.start, self.end = kind, start, start
        self.value = None       # of a scalar: str, the number's text, True...
        self.members = []       # of an object: [(name, node)]
        self.items = []         # of an array

    def children(self):
        return [n for _, n in self.members] if self.kind == "object" else self.items

    def leaves(self):
        """Scalars at and below, null left out: it is never sealed."""
        if self.kind in ("object", "array"):
            for child in self.children():
                yield from child.leaves()
        elif self.kind != "null":
            yield self

    def __repr__(self):
        return f"<{self.kind} {self.start}..{self.end}>"


class Parser:
    def __init__(self, data):
        self.data, self.at = data, 0

    def fail(self):
        raise Malformed(f"at {self.at}: {self.data[self.at:self.at + 20]!r}")

    def space(self):
        self.at = SPACE.match(self.data, self.at).end()

    def sign(self, signs):
        self.space()
        sign = self.data[self.at:self.at + 1]
        if not sign or sign not in signs:
            self.fail()
        self.at += 1
        return sign

    def match(self, pattern):
        if not (match := pattern.match(self.data, self.at)):
            self.fail()
        self.at = match.end()
        return match[0]

    def text(self):
        self.space()
        return json.loads(self.match(STRING))

    def container(self, node, close, one):
        self.at += 1
        self.space()
        if self.data[self.at:self.at + 1] == close:
            self.at += 1
            return
        while True:
            one(node)
            if self.sign(b"," + close) == close:
                return

    def value(self, depth=0):
        if depth > MAX_DEPTH:
            self.fail()
        self.space()
        first = self.data[self.at:self.at + 1]
        node = Node("null", self.at)
        if first == b"{":
            node.kind = "object"

            def member(n):
                name = self.text()
                self.sign(b":")
                n.members.append((name, self.value(depth + 1)))
            self.container(node, b"}", member)
        elif first == b"[":
            node.kind = "array"
            self.container(node, b"]", lambda n: n.items.append(self.value(depth + 1)))
        elif first == b'"':
            node.kind, node.value = "string", self.text()
        elif first in WORDS and self.data.startswith(WORDS[first], self.at):
            self.at += len(WORDS[first])
            if first != b"n":
                node.kind, node.value = "boolean", first == b"t"
        else:
            node.kind, node.value = "number", self.match(NUMBER).decode()
        node.end = self.at
        return node


def parse(data):
    """The root node, or Malformed."""
    try:
        data.decode()
    except UnicodeDecodeError as e:
        raise Malformed(str(e)) from e
    p = Parser(data)
    root = p.value()
    p.space()
    if p.at != len(data):
        p.fail()
    return root


def depth(node):
    return 1 + max(map(depth, node.children()), default=0) if node.kind in (
        "object", "array") else 0


def lone_surrogate(node):
    return node.kind == "string" and any("\ud800" <= c <= "\udfff" for c in node.value)


# ---- queries: [(descendant?, [selector...])...] --------------------------------------
# A selector is ("name", text), ("index", i), ("wildcard",), ("slice", a, b, step)
# or ("filter", test); a test is ("and"|"or", t, t), ("not", t), ("exists", query) or
# ("compare", operator, query, literal), its queries relative to the tested node.

EVERYTHING = [(True, [("wildcard",)])]


def select(root, query):
    nodes = [root]
    for descendant, selectors in query:
        if descendant:
            nodes = [d for n in nodes for d in descend(n)]
        nodes = [c for n in nodes for s in selectors for c in children(n, s)]
    return nodes


def descend(node):
    yield node
    for child in node.children():
        yield from descend(child)


def children(node, selector):
    kind = selector[0]
    if kind == "wildcard":
        return node.children()
    if kind == "name":
        return [n for name, n in node.members if name == selector[1]]
    if kind == "index":
        i = selector[1]
        return [node.items[i]] if -len(node.items) <= i < len(node.items) else []
    if kind == "slice":
        a, b, step = selector[1:]
        return node.items[slice(a, b, step)] if step != 0 else []
    return [n for n in node.children() if holds(n, selector[1])]


def plain(node):
    """A value that Python compares as RFC 9535 does."""
    if node.kind == "number":
        return ("number", decimal.Decimal(node.value))
    return (node.kind, node.value)


def holds(node, test):
    kind = test[0]
    if kind == "and":
        return holds(node, test[1]) and holds(node, test[2])
    if kind == "or":
        return holds(node, test[1]) or holds(node, test[2])
    if kind == "not":
        return not holds(node, test[1])
    found = select(node, test[1] if kind == "exists" else test[2])
    if kind == "exists":
        return bool(found)
    _, operator, _, literal = test
    literal = plain(parse(literal.encode()))
    if not found:
        return operator == "!="         # nothing equals no literal
    value = plain(found[0])
    if operator in ("==", "!="):
        return (value == literal) == (operator == "==")
    if value[0] != literal[0] or value[0] not in ("number", "string"):
        return operator in ("<=", ">=") and value == literal
    a, b = value[1], literal[1]
    return {"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[operator]


def chosen(root, queries):
    """The leaves that a route with these queries must seal, in document order."""
    found = {}
    for query in queries:
        for node in select(root, query):
            found.update((leaf.start, leaf) for leaf in node.leaves())
    return [found[start] for start in sorted(found)]


# ---- what the road may change ---------------------------------------------------------

def text_of(document, leaf):
    """What a token of this value holds: (type, bytes)."""
    if leaf.kind == "string":
        return "string", leaf.value.encode()
    return leaf.kind, document[leaf.start:leaf.end]


def walk(document, seen, leaves, take):
    """`seen` is `document` but for the leaves; take(leaf, at) judges what stands
    for one and says where it ends."""
    at, kept = 0, 0
    for leaf in leaves:
        between = document[kept:leaf.start]
        assert seen[at:at + len(between)] == between, (
            f"bytes {kept}..{leaf.start} changed: {seen[at:at + 80]!r}")
        at, kept = take(leaf, at + len(between)), leaf.end
    assert seen[at:] == document[kept:], f"bytes after {kept} changed: {seen[at:at + 80]!r}"


def check_sealed(document, seen, leaves, open_token):
    """Every leaf is a token that opens to it, everything else stands unchanged."""
    def take(leaf, at):
        match = TOKEN.match(seen, at + 1)
        assert match and seen[at:at + 1] == b'"' == seen[match.end():match.end() + 1], (
            f"{leaf} is not sealed: {seen[at:at + 80]!r}")
        kind, text, _ = open_token(match[0].decode())
        assert (kind, text) == text_of(document, leaf), f"{leaf}: {kind} {text[:80]!r}"
        return match.end() + 1
    walk(document, seen, leaves, take)


def check_opened(document, seen, leaves):
    """The document came back; only a chosen string may be escaped in another way."""
    def take(leaf, at):
        text = document[leaf.start:leaf.end]
        if leaf.kind == "string":
            match = STRING.match(seen, at)
            assert match and json.loads(match[0]) == leaf.value, (
                f"{leaf} came back as {seen[at:at + 80]!r}")
            return match.end()
        assert seen[at:at + len(text)] == text, f"{leaf} came back as {seen[at:at + 80]!r}"
        return at + len(text)
    walk(document, seen, leaves, take)
