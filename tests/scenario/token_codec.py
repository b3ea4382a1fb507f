"""An independent codec of the token format and of sealed files, on
python3-cryptography.

Written from the format's description alone; shares nothing with e3/.  Makes and
opens every version, and reads sealed app records with the root key, so that
tests can open what the engine wrote.
"""
import base64
import functools
import hashlib
import hmac
import os
import struct
import time
import zlib

import msgpack
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

# version -> (curve, key form, AAD kind, metadata)
VERSIONS = {
    None: ("k1", "raw", "none", False),
    "RFVC": ("k1", "raw", "none", False),
    "T1JL": ("r1", "raw", "none", False),
    "Tk9D": ("r1", "kdf", "app", False),
    "QlJV": ("k1", "kdf", "app", True),
    "TENZ": ("r1", "kdf", "app", True),
    "S0lS": ("k1", "kdf", "v2", True),
    "QkTC": ("r1", "kdf", "v2", True),
}
V2_NUMBER = {"S0lS": 0, "QkTC": 1}
TYPE_BITS = {"string": 0, "number": 1, "boolean": 2}
CURVES = {"r1": ec.SECP256R1(), "k1": ec.SECP256K1()}
PREFIX = {
    "r1": bytes.fromhex(
        "3082014b3082010306072a8648ce3d02013081f7020101302c06072a8648ce3d0101022100ffffffff0000000100000000"
        "0000000000000000ffffffffffffffffffffffff305b0420ffffffff00000001000000000000000000000000ffffffffff"
        "fffffffffffffc04205ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b031500c49d360886"
        "e704936a6678e1139d26b7819f7e900441046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2"
        "964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5022100ffffffff00000000ffffffffff"
        "ffffffbce6faada7179e84f3b9cac2fc632551020101034200"),
    "k1": bytes.fromhex(
        "308201333081ec06072a8648ce3d02013081e0020101302c06072a8648ce3d0101022100ffffffffffffffffffffffffff"
        "fffffffffffffffffffffffffffffefffffc2f304404200000000000000000000000000000000000000000000000000000"
        "0000000000000420000000000000000000000000000000000000000000000000000000000000000704410479be667ef9dc"
        "bbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554"
        "199c47d08ffb10d4b8022100fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd03641410201010342"
        "00"),
}


def b64(data):
    return base64.b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def point(public, compressed=True):
    form = (serialization.PublicFormat.CompressedPoint if compressed
            else serialization.PublicFormat.UncompressedPoint)
    return public.public_bytes(serialization.Encoding.X962, form)


def aes_key(curve, form, shared, ephemeral):
    if form == "raw":
        return shared
    spki = PREFIX[curve] + point(ephemeral, compressed=False)
    return hashlib.sha256(shared + b"\0\0\0\1" + spki).digest()


def aad(version, kind, type_name, ephemeral, app_public):
    if kind == "none":
        return None
    if kind == "app":
        return point(app_public)
    config = TYPE_BITS[type_name] << 4 | V2_NUMBER[version]
    return bytes([config]) + point(ephemeral) + point(app_public)


def make(app_public, text, type_name="string", version="QkTC", role=None, now=None):
    """A token that anyone can make who has the app's public key."""
    curve, form, kind, metadata = VERSIONS[version]
    private = ec.generate_private_key(CURVES[curve])
    shared = private.exchange(ec.ECDH(), app_public)
    key = aes_key(curve, form, shared, private.public_key())
    data = text if isinstance(text, bytes) else text.encode()
    if metadata:
        meta = {} if role is None else {"dr": role}
        meta.update(eo=5, et=int(now or time.time()))
        packed = msgpack.packb(meta)
        data = struct.pack("<H", len(packed)) + packed + data
    iv = os.urandom(12)
    sealed = AESGCM(key).encrypt(iv, data, aad(version, kind, type_name,
                                               private.public_key(), app_public))
    parts = ["ev"]
    if version:
        parts.append(version)
    if type_name != "string":
        parts.append(type_name)
    parts += [b64(iv), b64(point(private.public_key())), b64(sealed), "$"]
    return ":".join(parts)


@functools.lru_cache(maxsize=1024)
def agree(curve, form, private, ephemeral_bytes):
    """(AES key, ephemeral key): the same for all tokens of one call."""
    ephemeral = ec.EllipticCurvePublicKey.from_encoded_point(CURVES[curve], ephemeral_bytes)
    return aes_key(curve, form, private.exchange(ec.ECDH(), ephemeral), ephemeral), ephemeral


def open_token(token, pairs):
    """-> (type, bytes, metadata).  pairs: {"r1": [private...], "k1": [...]}."""
    parts = token.split(":")
    assert parts[0] == "ev" and parts[-1] == "$", "no token"
    parts = parts[1:-1]
    version = parts.pop(0) if parts[0] in VERSIONS else None
    type_name = parts.pop(0) if len(parts) == 4 else "string"
    iv, ephemeral_bytes, data = (unb64(p) for p in parts)
    curve, form, kind, metadata = VERSIONS[version]
    for private in pairs[curve]:
        key, ephemeral = agree(curve, form, private, ephemeral_bytes)
        try:
            plain = AESGCM(key).decrypt(iv, data, aad(version, kind, type_name, ephemeral,
                                                      private.public_key()))
        except Exception:               # another pair may fit
            continue
        meta = None
        if metadata:
            n, = struct.unpack_from("<H", plain)
            meta = msgpack.unpackb(plain[2:2 + n])
            plain = plain[2 + n:]
        return type_name, plain, meta
    raise ValueError("no key pair opens it")


# ---- files: version -> (curve, key form, AAD kind, metadata, checksum) ----

FILE_VERSIONS = {
    0: ("k1", "raw", "none", False, False),
    1: ("r1", "kdf", "app", False, False),
    2: ("k1", "raw", "none", False, True),
    3: ("r1", "kdf", "app", False, True),
    4: ("k1", "kdf", "app", True, True),
    5: ("r1", "kdf", "app", True, True),
}


def file_sum(data):
    return struct.pack("<I", zlib.crc32(data))


def make_file(app_public, contents, version=3, role=None, now=None, debug=False, form=None):
    """form: of the key, where it is not the version's own."""
    curve, own_form, kind, metadata, checksum = FILE_VERSIONS[version]
    private = ec.generate_private_key(CURVES[curve])
    key = aes_key(curve, form or own_form, private.exchange(ec.ECDH(), app_public),
                  private.public_key())
    iv, extra = os.urandom(12), point(app_public) if kind == "app" else None
    meta = b""
    if metadata:
        packed = {} if role is None else {"dr": role}
        packed.update(eo=5, et=int(now or time.time()))
        sealed = AESGCM(key).encrypt(iv, msgpack.packb(packed), extra)
        meta = struct.pack("<H", len(sealed)) + sealed
    data = (b"%EVENC" + struct.pack("<BH", version, 55 + len(meta))
            + point(private.public_key()) + iv + bytes([debug]) + meta
            + AESGCM(key).encrypt(iv, contents, extra))
    return data + file_sum(data) if checksum else data


def open_file(data, pairs):
    """-> (version, contents, metadata)."""
    assert data[:6] == b"%EVENC", "no file"
    version, offset = struct.unpack_from("<BH", data, 6)
    curve, form, kind, metadata, checksum = FILE_VERSIONS[version]
    if checksum:
        assert file_sum(data[:-4]) == data[-4:], "checksum"
        data = data[:-4]
    assert data[54] == 0, "debug"
    iv = data[42:54]
    for private in pairs[curve]:
        key, _ = agree(curve, form, private, data[9:42])
        extra = point(private.public_key()) if kind == "app" else None
        try:
            contents = AESGCM(key).decrypt(iv, data[offset:], extra)
        except Exception:               # another pair may fit
            continue
        meta = None
        if metadata:
            assert struct.unpack_from("<H", data, 55)[0] == offset - 57
            meta = msgpack.unpackb(AESGCM(key).decrypt(iv, data[57:offset], extra))
        return version, contents, meta
    raise ValueError("no key pair opens it")


# ---- client-side tokens ----

def url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def client_token(secret, claims, header=b'{"alg":"HS256","typ":"JWT"}'):
    """secret: a private key of P-256; claims: bytes of JSON."""
    key = hmac.digest(secret, b"relay client-side token 1\1", "sha256")
    text = url64(header) + "." + url64(claims)
    return text + "." + url64(hmac.digest(key, text.encode(), "sha256"))


def private_key(curve, secret):
    return ec.derive_private_key(int.from_bytes(secret, "big"), CURVES[curve])
