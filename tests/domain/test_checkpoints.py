"""Checkpoints are read as they were written, and nothing else is taken for one."""

import base64
from datetime import UTC, datetime

import pytest

from benefits.domain.checkpoints import Checkpoint, PublicKey, parse_key, read_notes, signed

AT = datetime(2025, 7, 2, 4, 0, tzinfo=UTC)
KEY = PublicKey("benefits/0011223344556677", bytes(range(32)))
SAID = Checkpoint(KEY.name, 1234, bytes(range(32)), AT)
NOTE = signed(SAID.text(), KEY, bytes(64))


def test_a_note_is_what_c2sp_says() -> None:
    """Name, size, root, time; an empty line; a dash, the name, key id and signature."""
    head, signature = NOTE.split("\n\n")
    root = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    assert [KEY.name, "1234", root, "2025-07-02T04:00:00Z"] == head.split("\n")
    dash, name, word = signature.rstrip("\n").split(" ")
    assert ("—", KEY.name) == (dash, name)
    assert KEY.key_id + bytes(64) == base64.b64decode(word)


def test_a_key_id_is_what_c2sp_computes() -> None:
    """The example of the signed-note format's own library."""
    word = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    key = parse_key(word)
    assert ("PeterNeumann", "c74f20a3", word) == (key.name, key.key_id.hex(), str(key))


def test_notes_are_read_one_after_the_other() -> None:
    """Whatever stands between, an unfinished one too; line ends of any kind."""
    file = f"{NOTE}\n{NOTE[:-30]}\n\nwords\n\n{NOTE}"
    for text in (file, file.replace("\n", "\r\n")):
        assert [SAID, SAID] == [note.checkpoint for note in read_notes(text)]
        assert {SAID.text()} == {note.text for note in read_notes(text)}


@pytest.mark.parametrize(
    "text",
    [
        "",
        NOTE.replace("1234", "01234"),
        NOTE.replace("1234", "-1"),
        NOTE.replace("Hh8=", "Hh8"),
        NOTE.replace("2025-07-02", "2025-13-02"),
        NOTE.replace("—", "-"),
        NOTE.split("\n\n", maxsplit=1)[0],
        NOTE[:-5] + "\n",
    ],
)
def test_what_is_no_whole_note_is_none(text: str) -> None:
    """Nothing is guessed."""
    assert [] == list(read_notes(text))


@pytest.mark.parametrize("word", ["", "a", "a+b+c", f"{KEY}x", f"x{KEY}", str(KEY)[:-1]])
def test_what_is_no_key_is_refused(word: str) -> None:
    """Its parts must fit each other."""
    with pytest.raises(ValueError, match=r"."):
        parse_key(word)
