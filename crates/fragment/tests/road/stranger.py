"""A reader of sealed segments written from spec/segment.md alone, as far as the standard library goes.

Checks the shares, makes the epoch key, derives every key and salt, and holds the manifest to its leaves and
ciphertext. It has no AES and no BLAKE3, so it opens nothing. Usage: stranger.py VECTOR...
"""

import hashlib
import hmac
import struct
import sys


def framed(name):
    return bytes([len(name)]) + name.encode()


def tagged(name, *parts):
    return hashlib.sha256(framed(name) + b"".join(parts)).digest()


def kdf(name, key, salt, *parts):
    prk = hmac.new(salt or bytes(32), key, hashlib.sha256).digest()
    return hmac.new(prk, framed(name) + b"".join(parts) + b"\x01", hashlib.sha256).digest()


def prf(name, key, *parts):
    return hmac.new(key, framed(name) + b"".join(parts), hashlib.sha256).digest()


def commitment(context, key):
    return tagged("salus/key-commitment/v1", struct.pack(">Q", len(context)), context, key)


def tree(leaves):
    """RFC 9162 section 2.1.1."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    left = 1 << ((len(leaves) - 1).bit_length() - 1)
    return hashlib.sha256(b"\x01" + tree(leaves[:left]) + tree(leaves[left:])).digest()


def root(leaves):
    """spec/receipt.md section 3."""
    return hashlib.sha256(b"\x02" + struct.pack(">Q", len(leaves)) + tree(leaves)).digest()


def times(a, b):
    """In GF(2^8) with x^8 + x^4 + x^3 + x + 1."""
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a = a << 1 ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return product


def inverse(a):
    power = 1
    for _ in range(254):
        power = times(power, a)
    return power


def interpolate(points):
    """The 32 bytes at x = 0."""
    key = bytearray(32)
    for x, value in points:
        weight = 1
        for other, _ in points:
            if other != x:
                weight = times(weight, times(other, inverse(x ^ other)))
        for at in range(32):
            key[at] ^= times(weight, value[at])
    return bytes(key)


class Reader:
    """Takes fields off the front of bytes."""

    def __init__(self, data):
        self.data = data

    def take(self, count):
        head, self.data = self.data[:count], self.data[count:]
        assert len(head) == count
        return head

    def number(self, code):
        return struct.unpack("<" + code, self.take(struct.calcsize(code)))[0]

    def digests(self):
        return [self.take(32) for _ in range(self.number("I"))]

    def finish(self):
        assert not self.data


def epoch_key(shares):
    headers = {share[:-96] for share in shares}
    assert len(headers) == 1
    header = Reader(headers.pop())
    epoch, writer, _class, _kind, _span, grants = (header.take(length) for length in (16, 16, 1, 5, 16, 32))
    threshold, hashes, committed = header.number("H"), header.digests(), header.take(32)
    header.finish()
    points = [(index + 1, share[-32:]) for index, share in enumerate(shares)]
    for (x, value), expected in zip(points, hashes, strict=True):
        assert tagged("salus/share/v1", struct.pack(">Q", 16), epoch, bytes([x]), value) == expected
    key = interpolate(points[-threshold:])
    assert commitment(epoch, key) == committed
    return key, writer, grants


def check(facts):
    every = {name: [bytes.fromhex(value) for found, value in facts if found == name] for name in
             ("share", "manifest", "leaf", "fragment")}
    index = struct.pack("<I", int(next(value for name, value in facts if name == "index")))
    key, writer, grants = epoch_key(every["share"])
    manifest = Reader(every["manifest"][0])
    assert manifest.number("B") == 1
    locator = manifest.take(32)
    data, _parity = manifest.number("H"), manifest.number("H")
    length, ciphertext, hashes = manifest.number("I"), manifest.take(32), manifest.digests()
    seal_random, committed, leaves = manifest.take(32), manifest.take(32), manifest.take(32)
    manifest.take(manifest.number("I"))
    manifest.finish()
    locators = prf("salus/locators/v1", kdf("salus/locator-key/v1", key, b""), writer, grants)
    assert prf("salus/locator/v1", locators, index) == locator
    segment = kdf("salus/segment-key/v1", key, seal_random, locator)
    assert commitment(locator, segment) == committed
    salts = (prf("salus/leaf-salt/v1", segment, struct.pack("<I", at)) for at in range(len(every["leaf"])))
    assert root([tagged("salus/leaf/v1", salt, leaf) for salt, leaf in zip(salts, every["leaf"])]) == leaves
    shard = -(-(-(-length // data)) // 64) * 64
    assert [len(fragment) for fragment in every["fragment"]] == [shard] * len(hashes)
    assert tagged("salus/ciphertext/v1", b"".join(every["fragment"][:data])[:length]) == ciphertext


def main(paths):
    for path in paths:
        with open(path, encoding="ascii") as file:
            check([line.rstrip("\n").split(": ", 1) for line in file])
    print(f"{len(paths)} segments agree")


if __name__ == "__main__":
    main(sys.argv[1:])
