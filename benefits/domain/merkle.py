"""A Merkle tree as in RFC 6962: over a growing list, with proofs that something is in it.

A leaf's digest is SHA-256 of a zero byte and its data, a node's is SHA-256 of a one byte and the
digests of its two children. Of the nodes, those of complete subtrees with 256, 65,536, … leaves
are kept; whatever lies between is computed from at most 256 of them a level.

    level 16                 x                    kept
    level  8     x x x … (256 of them)            kept
    level  0     x x x … (256 leaves below each)  kept
"""

import hashlib
from collections.abc import Iterator, Mapping

TILE = 8  # levels from one kept level to the next
WIDTH = 1 << TILE
LEVELS = tuple(range(0, 48, TILE))  # enough for 2^48 leaves

Kept = Mapping[tuple[int, int], bytes]  # a node's digest by its level and its place there


def leaf(data: bytes) -> bytes:
    """Return the digest of a leaf."""
    return hashlib.sha256(b"\0" + data).digest()


def node(left: bytes, right: bytes) -> bytes:
    """Return the digest of a node over its children."""
    return hashlib.sha256(b"\1" + left + right).digest()


class Frontier:
    """The right edge of a tree: enough to add leaves and to say its root."""

    def __init__(self) -> None:
        """Begin with an empty tree."""
        self.size = 0
        self._edge: list[tuple[int, bytes]] = []

    def push(self, digest: bytes, level: int = 0) -> list[tuple[int, int, bytes]]:
        """Add a leaf, or a complete subtree of a level; return the nodes to keep that this made.

        A node is (level, place, digest), lower ones first.
        """
        self.size += 1 << level
        made = []
        edge = self._edge
        while edge and edge[-1][0] == level:
            digest = node(edge.pop()[1], digest)
            level += 1
            if level % TILE == 0:
                made.append((level, (self.size >> level) - 1, digest))
        edge.append((level, digest))
        return made

    def root(self) -> bytes:
        """Return the digest of the whole tree."""
        if not self._edge:
            return hashlib.sha256().digest()
        digest = self._edge[-1][1]
        for _, left in reversed(self._edge[:-1]):
            digest = node(left, digest)
        return digest


def edge(size: int) -> Iterator[tuple[int, int, int]]:
    """Yield what is to be read for a tree's right edge: level, first place, the place beyond."""
    for level in reversed(LEVELS):
        first, beyond = (size >> (level + TILE)) << TILE, size >> level
        if first < beyond:
            yield level, first, beyond


def around(index: int, size: int) -> Iterator[tuple[int, int, int]]:
    """Yield what is to be read for the way from a leaf to the root, the right edge apart."""
    for level in LEVELS:
        first = (index >> (level + TILE)) << TILE
        beyond = min(first + WIDTH, size >> level)
        if first < beyond:
            yield level, first, beyond


def inclusion(kept: Kept, index: int, size: int) -> list[bytes]:
    """Return the audit path of a leaf in the tree of a size, from the leaf up (RFC 6962, 2.1.1).

    `kept` has what `edge` and `around` name; KeyError when something is missing.
    """
    return _path(kept, index, (0, size))


def consistency(kept: Kept, old: int, new: int) -> list[bytes]:
    """Return what proves that the tree of size `new` begins as that of size `old` (2.1.2).

    `kept` has what `edge` names for both sizes and `around` for the leaves beside the old end.
    """
    return _subproof(kept, old, (0, new), whole=True)


def beside(kept: Kept, span: tuple[int, int], size: int) -> list[bytes]:
    """Return what proves that leaves [first, beyond) are in the tree of a size, left to right.

    `kept` has what `edge` names, and `around` for the first and the last of the leaves.
    """
    return list(_beside(kept, span, (0, size)))


def root_of(
    leaves: Iterator[bytes], others: Iterator[bytes], span: tuple[int, int], size: int
) -> bytes:
    """Return the root that the leaves of a span and what stands beside them give.

    Both are taken one after the other, none too many; StopIteration when there are too few.
    """
    return _over(leaves, others, span, (0, size))


def _beside(kept: Kept, span: tuple[int, int], part: tuple[int, int]) -> Iterator[bytes]:
    start, end = part
    if end <= span[0] or start >= span[1]:
        yield _digest(kept, start, end)
    elif start < span[0] or end > span[1]:
        middle = _middle(start, end)
        yield from _beside(kept, span, (start, middle))
        yield from _beside(kept, span, (middle, end))


def _over(
    leaves: Iterator[bytes], others: Iterator[bytes], span: tuple[int, int], part: tuple[int, int]
) -> bytes:
    start, end = part
    if end <= span[0] or start >= span[1]:
        return next(others)
    if end - start == 1:
        return next(leaves)
    middle = _middle(start, end)
    left = _over(leaves, others, span, (start, middle))
    return node(left, _over(leaves, others, span, (middle, end)))


def _path(kept: Kept, index: int, span: tuple[int, int]) -> list[bytes]:
    start, end = span
    if end - start == 1:
        return []
    middle = _middle(start, end)
    if index < middle:
        return [*_path(kept, index, (start, middle)), _digest(kept, middle, end)]
    return [*_path(kept, index, (middle, end)), _digest(kept, start, middle)]


def _subproof(kept: Kept, old: int, span: tuple[int, int], *, whole: bool) -> list[bytes]:
    start, end = span
    if old == end:
        return [] if whole else [_digest(kept, start, end)]
    middle = _middle(start, end)
    if old <= middle:
        return [
            *_subproof(kept, old, (start, middle), whole=whole),
            _digest(kept, middle, end),
        ]
    return [*_subproof(kept, old, (middle, end), whole=False), _digest(kept, start, middle)]


def _middle(start: int, end: int) -> int:
    """Return where a range is parted: after the largest power of two that is less than it."""
    return start + (1 << (end - start - 1).bit_length() - 1)


def _digest(kept: Kept, start: int, end: int) -> bytes:
    level = (end - start).bit_length() - 1
    if end - start == 1 << level and level % TILE == 0:
        return kept[level, start >> level]
    middle = _middle(start, end)
    return node(_digest(kept, start, middle), _digest(kept, middle, end))
