#!/usr/bin/env python3
"""Check a proof of `benefits proof`, or the file of an archived month.

    python docs/check_proof.py PROOF PUBLIC_KEY

Nothing is needed but this file, Python and the public key.

PUBLIC_KEY is what `benefits seal-key` printed, or a file that holds it; take it from the bank's
auditors, not from whoever gave you the proof. Says in words what is proven, or what is wrong.
"""

import base64
import gzip
import hashlib
import json
import struct
import sys
import zlib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

# The columns of a batch, of its event and of its postings, in the order they were sealed in.
BATCH = {
    "bucket": "int2",
    "batch_id": "uuid",
    "member_id": "uuid",
    "kind": "text",
    "cause_id": "uuid",
    "reverses": "uuid",
    "actor": "text",
    "effective_at": "instant",
    "recorded_at": "instant",
    "booked_month": "date",
    "xid": "xid8",
}
EVENT = {
    "seq": "int8",
    "event_id": "uuid",
    "type": "text",
    "subject_id": "uuid",
    "data": "text",
    "recorded_at": "instant",
    "position": "int8",
}
POSTING = {
    "line": "int2",
    "debit": "text",
    "credit": "text",
    "unit": "text",
    "amount": "int8",
    "lot_id": "uuid",
    "party": "text",
}
NUMBERS = {"int2": ">h", "int8": ">q", "xid8": ">Q"}


class WrongError(Exception):
    """The proof does not prove what it says."""


# Ed25519 as in RFC 8032, section 5.1.7: only to verify, so nothing here is secret.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)
IDENTITY = (0, 1, 1, 0)


def add(a, b):
    """Add two points in extended coordinates."""
    e = (a[1] - a[0]) * (b[1] - b[0]) % P
    f = (a[1] + a[0]) * (b[1] + b[0]) % P
    g = 2 * a[3] * b[3] * D % P
    h = 2 * a[2] * b[2] % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(number, point):
    """Multiply a point."""
    result = IDENTITY
    while number:
        if number & 1:
            result = add(result, point)
        point = add(point, point)
        number >>= 1
    return result


def same(a, b):
    """Say whether two points are the same."""
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


def point_of(data):
    """Read a point; WrongError when it is none."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if len(data) != 32 or y >= P:
        raise WrongError("a point of the signature or key is malformed")
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_1 % P
    if (x * x - square) % P or (x == 0 and sign):
        raise WrongError("a point of the signature or key is not on the curve")
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


BASE = point_of((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def is_signature(signature, message, key):
    """Say whether a signature of 64 bytes over a message is by a key of 32 bytes."""
    if len(signature) != 64:
        return False
    r, s = point_of(signature[:32]), int.from_bytes(signature[32:], "little")
    hashed = hashlib.sha512(signature[:32] + key + message).digest()
    k = int.from_bytes(hashed, "little") % L
    return s < L and same(times(s, BASE), add(r, times(k, point_of(key))))


def read_key(given):
    """Return name, id and bytes of the public key, given as its word or the file that holds it."""
    word = (Path(given).read_text() if Path(given).is_file() else given).strip()
    try:
        name, key_id, text = word.split("+", 2)
        key = base64.b64decode(text, validate=True)
    except ValueError:
        raise WrongError("the public key is not what `benefits seal-key` prints") from None
    right = hashlib.sha256(f"{name}\n".encode() + key).digest()[:4]
    if len(key) != 33 or key[0] != 1 or right.hex() != key_id:
        raise WrongError("the public key is damaged: its parts do not fit each other")
    return name, right, key[1:]


def read_checkpoint(note, key):
    """Return size, root and time of a signed checkpoint; WrongError when it is not signed so."""
    name, key_id, public = key
    text, blank, signatures = note.partition("\n\n")
    lines = text.split("\n")
    if not blank or len(lines) != 4:
        raise WrongError("the checkpoint is malformed")
    if lines[0] != name:
        raise WrongError(f"the checkpoint is of another log: {lines[0]}, and the key of {name}")
    for line in signatures.splitlines():
        words = line.split(" ")
        if len(words) == 3 and words[:2] == ["—", name]:
            signed = base64.b64decode(words[2])
            if signed[:4] == key_id and is_signature(signed[4:], f"{text}\n".encode(), public):
                return int(lines[1]), base64.b64decode(lines[2]), lines[3]
    raise WrongError("the checkpoint is not signed by this key")


def field(kind, value):
    """Return a value's bytes behind their length; NULL has the length -1."""
    if value is None:
        return struct.pack(">i", -1)
    if kind == "text":
        made = value.encode()
    elif kind == "uuid":
        made = UUID(value).bytes
    elif kind == "instant":
        zero = datetime(2000, 1, 1, tzinfo=UTC)
        at = datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
        made = struct.pack(">q", (at - zero) // timedelta(microseconds=1))
    elif kind == "date":
        made = struct.pack(">i", (date.fromisoformat(value) - date(2000, 1, 1)).days)
    else:
        made = struct.pack(NUMBERS[kind], value)
    return struct.pack(">i", len(made)) + made


def leaf_of(batch):
    """Return the leaf of a batch: the hash of all columns of it, its event and its postings."""
    event, postings = batch["event"], sorted(batch["postings"], key=lambda line: line["line"])
    if set(batch) != {*BATCH, "event", "postings"} or set(event) != set(EVENT):
        raise WrongError("the batch has not the columns that are sealed")
    if any(set(line) != set(POSTING) for line in postings):
        raise WrongError("the batch has not the columns that are sealed")
    data = field("text", "benefits.batch/2")
    data += b"".join(field(kind, batch[name]) for name, kind in BATCH.items())
    data += b"".join(field(kind, event[name]) for name, kind in EVENT.items())
    data += struct.pack(">i", len(postings))
    for line in postings:
        data += b"".join(field(kind, line[name]) for name, kind in POSTING.items())
    return hashlib.sha256(b"\0" + data).digest()


def node(left, right):
    """Return the hash of a node of the tree."""
    return hashlib.sha256(b"\1" + left + right).digest()


def root_over(leaf, index, size, path):
    """Return the root to which an audit path leads (RFC 9162, 2.1.3.2)."""
    place, last, digest = index, size - 1, leaf
    for other in path:
        if last == 0:
            raise WrongError("the path is too long for a log of this size")
        if place % 2 or place == last:
            digest = node(other, digest)
            while place % 2 == 0 and place:
                place, last = place // 2, last // 2
        else:
            digest = node(digest, other)
        place, last = place // 2, last // 2
    if last:
        raise WrongError("the path is too short for a log of this size")
    return digest


def check_batch(proof, key):
    """Check that a batch is in the signed log; return in words what is proven."""
    batch, index = proof["batch"], proof["leaf_index"]
    leaf = leaf_of(batch)
    if leaf.hex() != proof["leaf"]:
        raise WrongError("the batch, its event or its postings are not those that were sealed")
    size, root, at = read_checkpoint(proof["checkpoint"], key)
    if not 0 <= index < size:
        raise WrongError(f"the checkpoint is of {size} batches, and this is number {index + 1}")
    if root_over(leaf, index, size, [bytes.fromhex(word) for word in proof["path"]]) != root:
        raise WrongError("the batch is not in the log that was signed")
    said = [f"Proven: batch {batch['batch_id']} ({batch['kind']}, by {batch['actor']})"]
    said += [f"of member {batch['member_id']}, recorded {batch['recorded_at']},"]
    said += [f"with {len(batch['postings'])} postings:"]
    said += [
        f"  {line['debit']} -> {line['credit']}: {line['amount']} {line['unit']}"
        for line in batch["postings"]
    ]
    said += [f"of which was told: {batch['event']['data']}"]
    said += [f"is number {index + 1} of the {size} batches of {key[0]}, as signed on {at}."]
    return "\n".join(said)


def check_growth(proof, key):
    """Check that one signed log begins as an older one (RFC 9162, 2.1.4.2)."""
    older, newer = (read_checkpoint(note, key) for note in proof["checkpoints"])
    (old, first, old_at), (new, second, new_at) = older, newer
    if not 0 < old < new:
        raise WrongError("the checkpoints are not an older and a newer one")
    path = [bytes.fromhex(word) for word in proof["path"]]
    if old & (old - 1) == 0:
        path = [first, *path]
    place, last = old - 1, new - 1
    while place % 2:
        place, last = place // 2, last // 2
    if not path:
        raise WrongError("the path is empty")
    small = large = path[0]
    for other in path[1:]:
        if last == 0:
            raise WrongError("the path is too long for logs of these sizes")
        if place % 2 or place == last:
            small, large = node(other, small), node(other, large)
            while place % 2 == 0 and place:
                place, last = place // 2, last // 2
        else:
            large = node(large, other)
        place, last = place // 2, last // 2
    if last or (small, large) != (first, second):
        raise WrongError("the newer log does not begin as the older one")
    return (
        f"Proven: the {old} batches of {key[0]} signed on {old_at} are the first {old} of the "
        f"{new} signed on {new_at}; nothing of them was changed, removed, or put between."
    )


def root_over_span(leaves, beside, span, part):
    """Return the root of a part of the tree: leaves of a span, digests beside it, as they come."""
    start, end = part
    if end <= span[0] or start >= span[1]:
        return next(beside)
    if end - start == 1:
        return next(leaves)
    middle = start + (1 << (end - start - 1).bit_length() - 1)
    left = root_over_span(leaves, beside, span, (start, middle))
    return node(left, root_over_span(leaves, beside, span, (middle, end)))


def check_archive(header, lines, key):
    """Check that all batches of an archived month are in the signed log."""
    size, root, at = read_checkpoint(header["checkpoint"], key)
    span, counts = (header["first_leaf"], header["beyond_leaf"]), [0, 0]
    if not 0 <= span[0] < span[1] <= size:
        raise WrongError("the leaves are not under the checkpoint")

    def leaves():
        for place, text in enumerate(lines, span[0]):
            line = json.loads(text)
            if line["leaf_index"] != place:
                raise WrongError(f"leaf {place} is not there")
            batch = line.get("batch")
            counts[batch is None] += 1
            if batch is None:
                yield bytes.fromhex(line["leaf"])
                continue
            told = datetime.fromtimestamp((UUID(batch["batch_id"]).int >> 80) / 1000, UTC)
            if f"{told:%Y-%m}" != header["month"]:
                raise WrongError(f"leaf {place} is of another month")
            yield leaf_of(batch)

    told, beside = leaves(), iter([bytes.fromhex(word) for word in header["beside"]])
    try:
        made = root_over_span(told, beside, span, (0, size))
    except StopIteration:
        raise WrongError("the file ends too early") from None
    if made != root or next(beside, None) or next(told, None):
        raise WrongError("the batches are not those that were signed")
    return (
        f"Proven: the {counts[0]} batches of {header['month']} in this file, with all their "
        f"postings, are among the {size} of {key[0]}, as signed on {at}; {counts[1]} that stand "
        "between them are of other months."
    )


UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error)
UNREADABLE += (EOFError, zlib.error)
CHECKS = {"benefits.proof/2": check_batch, "benefits.consistency/1": check_growth}


def main(arguments):
    """Check the proof of a file; return the exit status: 0 proven, 1 wrong, 2 not understood."""
    if len(arguments) != 2:
        print("usage: check_proof.py PROOF PUBLIC_KEY")
        return 2
    try:
        with Path(arguments[0]).open("rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b"
            plain.seek(0)
            file = gzip.GzipFile(fileobj=plain) if packed else plain
            first, key = file.readline(), read_key(arguments[1])
            if b'"benefits.archive/1"' in first:
                print(check_archive(json.loads(first), file, key))
            else:
                proof = json.loads(first + file.read())
                print(CHECKS[proof["format"]](proof, key))
    except WrongError as wrong:
        print(f"WRONG: {wrong}.")
        return 1
    except UNREADABLE as error:
        print(f"This is no proof that can be understood: {type(error).__name__}: {error}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
