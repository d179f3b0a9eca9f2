#!/usr/bin/env python3
"""Checks Salus receipts and state proofs offline. Written from spec/ alone; Python 3.11, no packages.

    salus_verify.py receipt POLICY.toml FILE      a receipt file
    salus_verify.py state POLICY.toml FILE        an encoded state proof
    salus_verify.py vectors DIR                   every vector below DIR, against what it expects

Exit status: 0 when everything holds, 1 when something does not, 2 for wrong use. What does not
hold has one of the names of spec/receipt.md. Meant to be read: it favours plainness over speed,
and its arithmetic is not constant-time, which verifying needs not be.
"""
import hashlib
import pathlib
import sys
import tomllib


class Unproven(Exception):
    """What does not hold, by its name in spec/receipt.md."""


def need(condition, name):
    if not condition:
        raise Unproven(name)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def tagged(namespace, *parts):
    """spec/encoding.md: length of the namespace, namespace, content."""
    return sha256(bytes([len(namespace)]), namespace.encode(), *parts)


# --- spec/encoding.md: bytes to values ---------------------------------------------------------

class Reader:
    def __init__(self, data, failure="malformed"):
        self.data, self.at, self.failure = data, 0, failure

    def need(self, condition):
        need(condition, self.failure)

    def take(self, count):
        self.need(self.at + count <= len(self.data))
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, width):
        return int.from_bytes(self.take(width), "little")

    def below(self, width, bound):
        value = self.number(width)
        self.need(value < bound)
        return value

    def blob(self, maximum):
        return self.take(self.below(4, maximum + 1))

    def list(self, maximum, item):
        return [item() for _ in range(self.below(4, maximum + 1))]

    def digest(self):
        return self.take(32)

    def raw(self, item):
        """The bytes of an item, after it was decoded."""
        start = self.at
        value = item()
        return self.data[start:self.at], value

    def varint(self, bits):
        """spec/certificate.md: seven bits per byte, least significant first, in the fewest bytes."""
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            self.need(not (shift and byte == 0))
            value |= (byte & 0x7F) << shift
            self.need(value < 1 << bits and shift < bits)
            if byte < 0x80:
                return value
            shift += 7

    def end(self):
        self.need(self.at == len(self.data))


def tip(r):
    return {"height": r.number(8), "time": r.number(8)}


def standing(r):
    return tip(r) if r.below(1, 2) else None


def span(r):
    start, end = r.number(8), r.number(8)
    r.need(start < end)


def header(r):
    raw, fields = r.raw(lambda: {
        "chain": r.digest(), "height": r.number(8), "view": r.number(8), "parent_view": r.number(8),
        "parent": r.digest(), "proposer": r.number(2), "time": r.number(8), "transactions": r.digest(),
        "receipts": r.digest(), "state": r.digest()})
    return fields | {"digest": tagged("salus/header/v1", raw)}


def certified_chain(r):
    return {"headers": r.list(64, lambda: header(r)), "certificate": r.blob(64 + 64 * 66)}


def state_key(r):
    kind = r.below(1, 12)
    if kind == 10:
        return r.take(32), r.take(2 if r.below(1, 2) == 0 else 16)
    sizes = {0: 0, 1: 2, 2: 16, 3: 32, 4: 32, 5: 24, 6: 32, 7: 32, 8: 34, 9: 2, 11: 32}
    return r.take(sizes[kind])


def state_value(r):
    kind = r.below(1, 11)
    if kind == 0:
        return tip(r)
    if kind == 1:
        return r.take(5 * 32)
    if kind == 2:
        plain = r.below(1, 3), r.number(2), r.take(32), span(r), r.below(2, 128)
        second = r.take(32) if r.below(1, 2) else None
        return plain, second, tip(r), standing(r)
    if kind == 3:
        return r.number(2), tip(r), standing(r)
    if kind == 4:
        return {"root": r.digest(), "since": tip(r)}
    if kind == 5:
        return r.take(64), r.blob(690), tip(r), standing(r)
    if kind == 6:
        return r.take(64), r.blob(434), tip(r)
    if kind == 7:
        return r.take(16), r.blob(434), tip(r)
    if kind == 8:
        return r.number(4), r.blob(6144), tip(r)
    if kind == 10:
        return r.take(64), tip(r), standing(r)
    return r.take(32), tip(r)


def item(r):
    key, _ = r.raw(lambda: state_key(r))
    value, fields = r.raw(lambda: state_value(r)) if r.below(1, 2) else (None, None)
    leaf = (r.digest(), r.digest()) if r.below(1, 2) else None
    return {"key": key, "value": value, "fields": fields, "leaf": leaf, "siblings": r.list(256, r.digest)}


def state_proof(r):
    return {"chain": certified_chain(r), "items": r.list(4096, lambda: item(r))}


def geometry(r):
    data, parity = r.number(2), r.number(2)
    r.need(data > 0 and data + parity <= 64)


def manifest(r):
    r.need(r.number(1) == 1)
    r.digest(), geometry(r), r.number(4), r.digest(), r.list(64, r.digest), r.take(32), r.digest()
    leaves = r.digest()
    r.blob(320)
    return leaves


def receipt(r):
    r.need(len(r.data) <= 128 * 1024 and r.number(1) == 1)
    leaf_raw, (device_key, frame) = r.raw(lambda: (r.digest(), r.blob(64 * 1024 + 64)))
    salt, index, count, path = r.digest(), r.number(4), r.number(4), r.list(32, r.digest)
    manifest_raw, leaves = r.raw(lambda: manifest(r))
    gateway, batch, place = r.take(16), r.take(8), (r.number(4), r.number(4), r.list(32, r.digest))
    return {"leaf": leaf_raw, "device_key": device_key, "frame": frame, "salt": salt, "place": (index, count, path),
            "manifest": manifest_raw, "leaves": leaves, "anchor_key": b"\x05" + gateway + batch,
            "manifest_place": place, "anchor": state_proof(r)}


def decode(data, read):
    r = Reader(data)
    value = read(r)
    r.end()
    return value


# --- Ed25519 by the rules of ZIP 215: points in any encoding, cofactored equation ----------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def point(encoded):
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, (y & (1 << 255) - 1) % P
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x * x % P != square:
        return None
    x = -x % P if x & 1 != sign else x
    return x, y, 1, x * y % P


def add(a, b):
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(scalar, a):
    total = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            total = add(total, a)
        a, scalar = add(a, a), scalar >> 1
    return total


BASE = point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def signed(key, message, signature):
    a, r, s = point(key), point(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    left, right = times(8 * s, BASE), times(8, add(r, times(k, a)))
    same = lambda i: (left[i] * right[2] - right[i] * left[2]) % P == 0
    return same(0) and same(1)


# --- spec/certificate.md: what a quorum made final ------------------------------------------------

def load_policy(path):
    text = tomllib.loads(pathlib.Path(path).read_text())
    members = [bytes.fromhex(key) for key in text["members"]]
    assert set(text) == {"version", "chain", "members"} and text["version"] == 1, "not a trust policy of version 1"
    assert 0 < len(members) <= 64 and len(set(members)) == len(members), "1 to 64 members with keys of their own"
    assert all(len(key) == 32 for key in members), "keys of 32 bytes"
    return {"chain": bytes.fromhex(text["chain"]), "members": members}


def check_certificate(policy, head, data):
    r = Reader(data, "certificate-malformed")
    r.need(len(data) <= 64 + 64 * 66)
    proposal, fields = r.raw(lambda: (r.varint(64), r.varint(64), r.varint(64), r.digest()))
    bits = int.from_bytes(r.take(8), "big")
    r.need(bits <= 64)
    bitmap = int.from_bytes(r.take((bits + 7) // 8), "little")
    r.need(bitmap < 1 << bits)
    signers = [place for place in range(bits) if bitmap >> place & 1]
    r.need(r.varint(32) == len(signers))
    signatures = [r.take(64) for _ in signers]
    r.end()
    need(fields == (0, head["view"], head["parent_view"], head["digest"]), "certificate-other")
    members = sorted(policy["members"])
    need(bits == len(members), "certificate-members")
    need(len(signers) >= len(members) - (len(members) - 1) // 3, "certificate-quorum")
    namespace = b"salus/finality/v1" + policy["chain"] + b"_FINALIZE"
    message = bytes([len(namespace)]) + namespace + proposal
    for place, signature in zip(signers, signatures):
        need(signed(members[place], message, signature), "certificate-signature")


def check_chain(policy, chain):
    headers = chain["headers"]
    need(headers, "no-header")
    need(all(head["chain"] == policy["chain"] for head in headers), "other-chain")
    for parent, child in zip(headers, headers[1:]):
        need(child["height"] == parent["height"] + 1 and child["parent"] == parent["digest"]
             and child["parent_view"] == parent["view"] < child["view"] and parent["time"] < child["time"], "broken-chain")
    check_certificate(policy, headers[-1], chain["certificate"])
    return headers[0]


# --- spec/state.md: what stands in the state, and what does not -----------------------------------

def bit(path, depth):
    return path[depth // 8] >> 7 - depth % 8 & 1


def check_item(root, entry):
    path, leaf, siblings = tagged("salus/state-key/v1", entry["key"]), entry["leaf"], entry["siblings"]
    if entry["value"] is not None:
        need(leaf == (path, sha256(entry["value"])), "state-entry")
    elif leaf:
        agree = all(bit(leaf[0], depth) == bit(path, depth) for depth in range(len(siblings)))
        need(leaf[0] != path and agree, "state-entry")
    node = bytes(32)
    if leaf:
        node = sha256(*leaf)
        node = bytes([node[0] | 0x80]) + node[1:]
    for depth in reversed(range(len(siblings))):
        node = sha256(siblings[depth], node) if bit(path, depth) else sha256(node, siblings[depth])
        node = bytes([node[0] & 0x7F]) + node[1:]
    need(node == root, "state-path")


def check_state(policy, proof):
    head = check_chain(policy, proof["chain"])
    for entry in proof["items"]:
        check_item(head["state"], entry)
    return head, {entry["key"]: entry for entry in proof["items"]}


# --- spec/receipt.md: one reading ------------------------------------------------------------------

def under(root, leaf, place, maximum):
    """RFC 9162 section 2.1.3.2, under a root that binds the count."""
    index, count, path = place
    if index >= count or count > maximum:
        return False
    last, node = count - 1, sha256(b"\0", leaf)
    for sibling in path:
        if last == 0:
            return False
        if index & 1 or index == last:
            node = sha256(b"\1", sibling, node)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            node = sha256(b"\1", node, sibling)
        index, last = index >> 1, last >> 1
    return last == 0 and sha256(b"\2", count.to_bytes(8, "big"), node) == root


def byte_string(r):
    head = r.take(1)[0]
    r.need(0x40 <= head <= 0x59)
    width = max(0, head - 0x57)
    length = int.from_bytes(r.take(width), "big") if width else head - 0x40
    r.need(not width or length >= (24, 256)[width - 1])
    return r.take(length)


def put_byte_string(data):
    if len(data) < 24:
        return bytes([0x40 + len(data)]) + data
    width = 1 if len(data) < 256 else 2
    return bytes([0x57 + width]) + len(data).to_bytes(width, "big") + data


def check_frame(device_key, frame):
    """spec/frame.md, as far as the signature needs it: COSE_Sign1 (RFC 9052), tagged, nothing unprotected."""
    r = Reader(frame, "leaf")
    r.need(r.take(2) == b"\xd2\x84")
    protected = byte_string(r)
    r.need(r.take(1) == b"\xa0")
    payload, signature = byte_string(r), byte_string(r)
    r.need(protected[:5] == b"\xa3\x01\x27\x04\x50" and protected[21:26] == b"\x3a\x00\x01\x00\x00")
    r.need(len(signature) == 64)
    r.end()
    parts = map(put_byte_string, (protected, b"salus/frame/v1", payload))
    need(signed(device_key, b"\x84\x6aSignature1" + b"".join(parts), signature), "device-signature")
    return protected[5:21], payload


def check_receipt(policy, data):
    r = decode(data, receipt)
    _, entries = check_state(policy, r["anchor"])
    need([entry["key"] for entry in r["anchor"]["items"]] == [r["anchor_key"]], "anchor-other")
    anchor = entries[r["anchor_key"]]
    need(anchor["value"] is not None, "anchor-absent")
    need(anchor["value"][0] == 4, "anchor-other")
    manifest_leaf = tagged("salus/manifest/v1", r["manifest"])
    need(under(anchor["fields"]["root"], manifest_leaf, r["manifest_place"], 256), "manifest-path")
    need(under(r["leaves"], tagged("salus/leaf/v1", r["salt"], r["leaf"]), r["place"], 65536), "leaf-path")
    device, payload = check_frame(r["device_key"], r["frame"])
    return anchor["fields"]["since"], device, payload


# --- the command line --------------------------------------------------------------------------------

def check_vector(folder, path):
    """The verdict on one vector, and what it expects."""
    head, _, body = path.read_text().partition("\n\n")
    lines = [line.split(": ", 1) for line in head.splitlines()]
    fields, data = dict(lines), bytes.fromhex(body)
    policy = load_policy(folder / "policy" / (fields["policy"] + ".toml"))
    kind = path.relative_to(folder).parts[0]
    try:
        if kind == "receipt":
            check_receipt(policy, data)
        elif kind == "certificate":
            check_chain(policy, decode(data, certified_chain))
        else:
            _, entries = check_state(policy, decode(data, state_proof))
            for name, fact in (line for line in lines if line[0] in ("present", "absent")):
                key, *value = map(bytes.fromhex, fact.split())
                assert entries[key]["value"] == (value[0] if name == "present" else None), path
        return "ok", fields["expect"]
    except Unproven as unproven:
        return str(unproven), fields["expect"]


def check_vectors(folder):
    paths = [path for kind in ("certificate", "receipt", "state") for path in sorted(folder.glob(f"{kind}/*/*.txt"))]
    wrong = 0
    for path in paths:
        verdict, expected = check_vector(folder, path)
        if verdict != expected:
            wrong += 1
            print(f"{path.relative_to(folder)}: {verdict}, expected {expected}")
    print(f"{len(paths) - wrong} vectors agree, {wrong} do not")
    return wrong or not paths


def main(args):
    if len(args) == 2 and args[0] == "vectors":
        return 1 if check_vectors(pathlib.Path(args[1])) else 0
    if len(args) != 3 or args[0] not in ("receipt", "state"):
        print(__doc__, file=sys.stderr)
        return 2
    policy, data = load_policy(args[1]), pathlib.Path(args[2]).read_bytes()
    try:
        if args[0] == "receipt":
            since, device, payload = check_receipt(policy, data)
            print(f"verified: kept since height {since['height']}, time {since['time']} ms")
            print(f"device {device.hex()}\nreading {payload.hex()}")
        else:
            head, entries = check_state(policy, decode(data, state_proof))
            print(f"verified: as of height {head['height']}, time {head['time']} ms")
            for key, entry in entries.items():
                print(key.hex(), "absent" if entry["value"] is None else entry["value"].hex())
    except Unproven as unproven:
        print(f"NOT verified: {unproven}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
