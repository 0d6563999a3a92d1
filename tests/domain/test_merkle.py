"""The tree is the one of RFC 6962, and its proofs prove exactly what they say."""

import hashlib
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from benefits.domain import merkle
from benefits.domain.merkle import Frontier

SIZES = st.integers(1, 700)


def leaves(count: int) -> list[bytes]:
    """Return some leaves' digests."""
    return [merkle.leaf(str(place).encode()) for place in range(count)]


def root(digests: list[bytes]) -> bytes:
    """Return the root as the RFC defines it (2.1)."""
    if not digests:
        return hashlib.sha256(b"").digest()
    if len(digests) == 1:
        return digests[0]
    k = 1
    while 2 * k < len(digests):
        k *= 2
    return hashlib.sha256(b"\x01" + root(digests[:k]) + root(digests[k:])).digest()


def grown(digests: list[bytes]) -> tuple[Frontier, dict[tuple[int, int], bytes]]:
    """Return a tree of leaves, and all that is kept of it."""
    tree, kept = Frontier(), {(0, place): digest for place, digest in enumerate(digests)}
    for digest in digests:
        kept |= {(level, place): made for level, place, made in tree.push(digest)}
    return tree, kept


def only(
    kept: dict[tuple[int, int], bytes], ranges: Iterable[tuple[int, int, int]]
) -> dict[tuple[int, int], bytes]:
    """Return what some ranges name, as it is read from the database."""
    return {
        (level, place): kept[level, place]
        for level, first, beyond in ranges
        for place in range(first, beyond)
    }


def test_the_roots_are_those_that_others_compute() -> None:
    """The published roots of Certificate Transparency's own test data."""
    data = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"]
    data += ["606162636465666768696a6b6c6d6e6f"]
    tree, said = Frontier(), [Frontier().root().hex()]
    for each in data:
        tree.push(merkle.leaf(bytes.fromhex(each)))
        said.append(tree.root().hex())
    assert "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" == said[0]
    assert "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d" == said[1]
    assert "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328" == said[8]


@given(SIZES)
def test_a_tree_that_grows_has_the_root_of_the_rfc(size: int) -> None:
    """Leaf by leaf or at once."""
    digests = leaves(size)
    assert root(digests) == grown(digests)[0].root()


@given(SIZES)
def test_the_edge_is_enough_to_go_on(size: int) -> None:
    """What is read of a tree gives its root, and few rows are read."""
    digests = leaves(size)
    _, kept = grown(digests)
    tree = Frontier()
    ranges = list(merkle.edge(size))
    for level, first, beyond in ranges:
        for place in range(first, beyond):
            tree.push(kept[level, place], level)
    assert (size, root(digests)) == (tree.size, tree.root())
    assert all(beyond - first < merkle.WIDTH for _, first, beyond in ranges)


def included(index: int, size: int, leaf: bytes, path: list[bytes]) -> bytes:
    """Return the root that an audit path leads to (RFC 9162, 2.1.3.2)."""
    place, last, digest = index, size - 1, leaf
    for other in path:
        if place % 2 or place == last:
            digest = merkle.node(other, digest)
            while place % 2 == 0 and place:
                place, last = place // 2, last // 2
        else:
            digest = merkle.node(digest, other)
        place, last = place // 2, last // 2
    assert 0 == last
    return digest


@given(st.data())
def test_an_audit_path_leads_to_the_root(data: st.DataObject) -> None:
    """From every leaf, by what `edge` and `around` name and nothing else."""
    size = data.draw(SIZES)
    index = data.draw(st.integers(0, size - 1))
    digests = leaves(size)
    _, kept = grown(digests)
    read = only(kept, [*merkle.edge(size), *merkle.around(index, size)])
    path = merkle.inclusion(read, index, size)
    assert root(digests) == included(index, size, digests[index], path)


def agree(old: int, new: int, first: bytes, path: list[bytes]) -> tuple[bytes, bytes]:
    """Return the two roots that a consistency proof leads to (RFC 9162, 2.1.4.2)."""
    if old & (old - 1) == 0:
        path = [first, *path]
    place, last = old - 1, new - 1
    while place % 2:
        place, last = place // 2, last // 2
    small = large = path[0]
    for other in path[1:]:
        if place % 2 or place == last:
            small, large = merkle.node(other, small), merkle.node(other, large)
            while place % 2 == 0 and place:
                place, last = place // 2, last // 2
        else:
            large = merkle.node(large, other)
        place, last = place // 2, last // 2
    assert 0 == last
    return small, large


@given(st.data())
def test_a_consistency_proof_leads_to_both_roots(data: st.DataObject) -> None:
    """Of any two sizes, by what is read of the tree."""
    new = data.draw(st.integers(2, 700))
    old = data.draw(st.integers(1, new - 1))
    digests = leaves(new)
    _, kept = grown(digests)
    ranges = [*merkle.edge(old), *merkle.edge(new)]
    ranges += [r for index in (old - 1, old) for r in merkle.around(index, new)]
    path = merkle.consistency(only(kept, ranges), old, new)
    assert (root(digests[:old]), root(digests)) == agree(old, new, root(digests[:old]), path)


def test_trees_of_many_levels_are_read_in_few_rows() -> None:
    """Kept nodes of several levels, with leaves that are made up."""
    whole = 3 * 65_536 + 5 * 256 + 7
    tree, kept = grown([place.to_bytes(32) for place in range(whole)])
    for index in (0, 255, 65_536, 2 * 65_536 - 1, 3 * 65_536 + 1_279, whole - 1):
        read = only(kept, [*merkle.edge(whole), *merkle.around(index, whole)])
        assert len(read) < 1_000
        path = merkle.inclusion(read, index, whole)
        assert tree.root() == included(index, whole, kept[0, index], path)
