"""Sealed app records read by their description (docs/records.md) with the root
key: an independent check of the format, and the keys that tests open tokens
with.  write() makes one that the engine did not."""
import functools
import os
import struct

import msgpack
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import token_codec


def read(record, root_key):
    """-> (app id, version, document, private keys in order)"""
    assert record[:4] == b"RLYR" and record[4] in (1, 2, 3)
    n = record[5]
    app = record[6:6 + n].decode()
    version, = struct.unpack_from(">Q", record, 6 + n)
    head = record[:14 + n]
    iv, sealed = record[14 + n:26 + n], record[26 + n:]
    payload = AESGCM(root_key).decrypt(iv, sealed, head)
    length, = struct.unpack_from(">I", payload)
    document = msgpack.unpackb(payload[4:4 + length])
    rest = payload[4 + length:]
    assert len(rest) % 32 == 0
    return app, version, document, [rest[i:i + 32] for i in range(0, len(rest), 32)]


def version(record):
    """By the clear header."""
    return struct.unpack_from(">Q", record, 6 + record[5])[0]


def pairs(record, root_key):
    _, _, document, secrets = read(record, root_key)
    out = {"r1": [], "k1": []}
    for pair, secret in zip(document["pairs"], secrets):
        out[pair[0]].append(token_codec.private_key(pair[0], secret))
    return out


@functools.lru_cache(maxsize=1024)
def public(curve, secret):
    return token_codec.point(token_codec.private_key(curve, secret).public_key())


def write(app, version, pairs, root_key, keys=()):
    """A sealed record, format 1; pairs: [(curve, 32 bytes)...], keys: as its document
    has them."""
    document = msgpack.packb({
        "name": "", "created_ms": 1_700_000_000_000, "keys": list(keys),
        "pairs": [[curve, i + 1, "seals", 1_700_000_000_000, public(curve, secret)]
                  for i, (curve, secret) in enumerate(pairs)]})
    payload = struct.pack(">I", len(document)) + document + b"".join(s for _, s in pairs)
    head = b"RLYR" + bytes([1, len(app)]) + app.encode() + struct.pack(">Q", version)
    iv = os.urandom(12)
    return head + iv + AESGCM(root_key).encrypt(iv, payload, head)
