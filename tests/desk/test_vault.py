"""The forget data are there for whoever unlocks them, and after a shredding for nobody."""

from __future__ import annotations

import io
import multiprocessing
import os
import shutil
import signal
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from excise.desk.ledger import Ledger, Sealed, Submission
from excise.desk.vault.cipher import CHUNK, Damaged, Decrypting, Encrypting
from excise.desk.vault.keys import DeskKey
from excise.desk.vault.vault import Vault
from excise.records import Data, InputError, read

from .conftest import NAMES

Make = Callable[..., Submission]


@pytest.fixture
def url(tmp_path: Path) -> str:
    """One database: the vault is beside it."""
    return f"sqlite:///{tmp_path}/desk.db"


@pytest.fixture
def id(ledger: Ledger, submission: Make) -> str:
    return ledger.submit(submission(), actor="ada")


def everything(folder: Path) -> bytes:
    return b"".join(p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file())


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
def test_any_length_comes_back_as_it_went_in(size: int) -> None:
    key, text = os.urandom(32), os.urandom(size)
    out = io.BytesIO()
    writing = Encrypting(out, key, b"r")
    for begin in range(0, size, 1000_003):
        writing.write(text[begin : begin + 1000_003])
    writing.close()
    reading = Decrypting(io.BytesIO(out.getvalue()), key, b"r")
    found = bytearray()
    while piece := reading.read(70_001):
        found += piece
    assert bytes(found) == text


@pytest.mark.parametrize("wrong", ["flip", "cut", "cut a chunk", "swap", "about", "key", "empty"])
def test_a_changed_stream_is_never_believed(wrong: str) -> None:
    key, out = os.urandom(32), io.BytesIO()
    writing = Encrypting(out, key, b"r")
    writing.write(os.urandom(2 * CHUNK + 100))
    writing.close()
    sealed, begin, chunk = bytearray(out.getvalue()), 15, CHUNK + 16
    if wrong == "flip":
        sealed[len(sealed) // 2] ^= 1
    elif wrong == "cut":
        sealed = sealed[:-1]
    elif wrong == "cut a chunk":
        sealed = sealed[: begin + 2 * chunk]
    elif wrong == "swap":
        one, two = sealed[begin : begin + chunk], sealed[begin + chunk : begin + 2 * chunk]
        sealed = sealed[:begin] + two + one + sealed[begin + 2 * chunk :]
    elif wrong == "empty":
        sealed = bytearray()
    with pytest.raises(Damaged):
        about = b"s" if wrong == "about" else b"r"
        other = os.urandom(32) if wrong == "key" else key
        Decrypting(io.BytesIO(bytes(sealed)), other, about).read()


def test_what_was_sealed_is_unlocked_as_it_was(ledger: Ledger, id: str, person_data: Data) -> None:
    with ledger.unlock(id, actor="olga", reason="the person asks to see it") as folder:
        data = read(folder)
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {r.answer for r in data.records} == {"In Riga, by the harbour.", "A night nurse."}
        image = next(r.image for r in data.records if r.image)
        assert (folder / image).read_bytes() == (person_data.folder / image).read_bytes()
    assert not folder.exists()
    entry = ledger.entries(id)[-1]
    assert (entry.kind, entry.actor) == ("vault.unlocked", "olga")
    assert entry.content["reason"] == "the person asks to see it"


def test_the_folder_goes_when_the_block_fails(ledger: Ledger, id: str) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        ledger.unlock(id, actor="olga", reason="look") as folder,
    ):
        _ = 1 / 0
    assert not folder.exists()


def test_nothing_is_unlocked_without_a_reason_and_an_entry(ledger: Ledger, id: str) -> None:
    with (
        pytest.raises(InputError, match="reason: is empty"),
        ledger.unlock(id, actor="olga", reason="  "),
    ):
        pass
    assert [entry.kind for entry in ledger.entries(id)] == ["request.submitted"]


def test_nothing_personal_lies_in_the_clear(ledger: Ledger, id: str, tmp_path: Path) -> None:
    with ledger.unlock(id, actor="olga", reason="look"):
        pass
    ledger.close()
    left = everything(tmp_path)
    for private in (*NAMES[0].split(), "harbour", "night nurse"):
        assert private.encode() not in left and private.lower().encode() not in left


def test_shredded_data_stay_shut_for_old_ledgers_and_keys_alike(
    ledger: Ledger, id: str, tmp_path: Path
) -> None:
    (place,) = (ledger.settings.vault / id).iterdir()
    cipher = (place / "data.enc").read_bytes()
    shutil.copy(tmp_path / "desk.db", tmp_path / "old.db")
    ledger.shred(id, actor="w1", reason="evidence signed")
    ledger.shred(id, actor="w1", reason="again")
    assert ledger.request(id).sealed == {"data": "shredded"}
    kinds = [entry.kind for entry in ledger.entries(id)]
    assert kinds[1:] == ["vault.shredding", "vault.shredded"]
    assert not list(ledger.settings.vault.glob("r-*"))
    with (
        pytest.raises(Sealed, match=f"{id}: its data were shredded"),
        ledger.unlock(id, actor="olga", reason="look"),
    ):
        pass
    # Whoever kept the ciphertext, the old ledger and the desk's key lacks the request's own key.
    place.mkdir(parents=True)
    (place / "data.enc").write_bytes(cipher)
    shutil.copy(tmp_path / "old.db", tmp_path / "desk.db")
    vault = Vault(ledger.settings.vault, tmp_path, DeskKey.load(ledger.settings))
    with pytest.raises(Sealed, match="its key is missing"), vault.open(id, place.name):
        pass


def test_the_key_is_overwritten_before_it_goes(ledger: Ledger, id: str, tmp_path: Path) -> None:
    (key,) = (ledger.settings.vault / id).glob("*/key")
    os.link(key, tmp_path / "kept")  # another name of the same blocks
    before = key.read_bytes()
    ledger.shred(id, actor="w1", reason="evidence signed")
    after = (tmp_path / "kept").read_bytes()
    assert len(after) == len(before) and before[12:28] not in after


@pytest.mark.parametrize("harm", ["cipher", "cut", "key", "no cipher", "no key"])
def test_what_was_changed_is_named_by_its_request_and_nothing_is_lost(
    ledger: Ledger, id: str, submission: Make, harm: str
) -> None:
    other = ledger.submit(submission(1), actor="ada")
    (file,) = (ledger.settings.vault / id).glob("*/key" if "key" in harm else "*/data.enc")
    content = file.read_bytes()
    if harm.startswith("no"):
        file.unlink()
    else:
        file.write_bytes(content[:-1] if harm == "cut" else bytes([*content[:-1], content[-1] ^ 1]))
    with (
        pytest.raises(Sealed, match=f"^{id}: ") as told,
        ledger.unlock(id, actor="olga", reason="look"),
    ):
        pass
    assert "\n" not in str(told.value)
    assert not list(ledger.settings.open_folder.glob("*"))
    file.write_bytes(content)
    for fine in (id, other):
        with ledger.unlock(fine, actor="olga", reason="look") as folder:
            assert len(read(folder).records) == 2


def test_an_item_at_another_requests_place_opens_nothing(
    ledger: Ledger, id: str, submission: Make
) -> None:
    other = ledger.submit(submission(1), actor="ada")
    (mine,), (theirs,) = (list((ledger.settings.vault / x).iterdir()) for x in (id, other))
    for name in ("key", "data.enc"):
        shutil.copy(theirs / name, mine / name)
    with pytest.raises(Sealed), ledger.unlock(id, actor="olga", reason="look"):
        pass


def test_another_key_is_refused_at_the_door(
    ledger: Ledger, id: str, tmp_path: Path, opened: Callable[[], Ledger]
) -> None:
    kept = (tmp_path / "desk.key").read_text()
    (tmp_path / "desk.key").unlink()
    with pytest.raises(InputError, match="desk's key is missing"):
        opened()
    DeskKey.make(ledger.settings)
    with pytest.raises(InputError, match="is not the key of the ledger"):
        opened()
    key = DeskKey.load(ledger.settings)
    (place,) = (ledger.settings.vault / id).iterdir()
    with (
        pytest.raises(Sealed, match=f"{id}: its key was wrapped under another desk key"),
        Vault(ledger.settings.vault, tmp_path, key).open(id, place.name),
    ):
        pass
    (tmp_path / "desk.key").write_text(kept)
    with opened() as again, again.unlock(id, actor="olga", reason="look"):
        pass


def test_a_key_file_is_for_its_owner_alone(
    ledger: Ledger, tmp_path: Path, opened: Callable[[], Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "desk.key"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(InputError, match="mode 640.*expected mode 600"):
        opened()
    path.chmod(0o600)
    text = path.read_text()
    path.write_text("short")
    with pytest.raises(InputError, match="expected 32 bytes in base64"):
        opened()
    path.unlink()
    monkeypatch.setenv("EXCISE_DESK_KEY", text)
    opened().close()
    monkeypatch.setenv("EXCISE_DESK_KEY", "secret!")
    with pytest.raises(InputError, match="^EXCISE_DESK_KEY: is no key") as told:
        opened()
    assert "secret" not in str(told.value)


def test_probes_are_shredded_apart(ledger: Ledger, id: str, tmp_path: Path) -> None:
    probes = tmp_path / "probes"
    (probes / "sub").mkdir(parents=True)
    (probes / "sub" / "a.json").write_text("{}")
    ledger.seal(id, probes, "probes", actor="w1")
    ledger.seal(id, probes, "probes", actor="w1")
    ledger.shred(id, actor="w1", reason="evidence signed", part="data")
    assert ledger.request(id).sealed == {"data": "shredded", "probes": "sealed"}
    with ledger.unlock(id, actor="w1", reason="audit", part="probes") as folder:
        assert (folder / "sub" / "a.json").read_text() == "{}"
    assert ledger.verify() is None
    assert len(list((ledger.settings.vault / id).iterdir())) == 1, "the one before is gone"


def _unlock_and_die(tmp_path: Path, url: str, id: str) -> None:
    ledger = Ledger.open(url, folder=tmp_path / "files", key_file=tmp_path / "desk.key")
    with ledger.unlock(id, actor="w1", reason="forgetting"):
        os.kill(os.getpid(), signal.SIGKILL)


def test_clear_data_of_a_killed_process_go_at_the_next_opening(
    ledger: Ledger, id: str, tmp_path: Path, url: str, opened: Callable[[], Ledger]
) -> None:
    process = multiprocessing.get_context("spawn").Process(
        target=_unlock_and_die, args=(tmp_path, url, id)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    left = [p for p in ledger.settings.open_folder.iterdir() if p.is_dir()]
    assert len(left) == 1 and (left[0] / "records.jsonl").exists()
    with ledger.unlock(id, actor="w2", reason="forgetting") as mine:
        opened().close()
        assert mine.exists(), "somebody is at work in it"
    assert not list(ledger.settings.open_folder.iterdir())


def test_tidy_finishes_what_a_kill_left_half_done(
    ledger: Ledger, id: str, submission: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Vault, "destroy", killed)
        ledger.withdraw(id, "no longer wanted", actor="ada")
    assert ledger.request(id).sealed == {"data": "shredding"}

    def pack(tar: tarfile.TarFile) -> None:
        tar.addfile(tarfile.TarInfo("x"))

    other = ledger.submit(submission(1), actor="ada")
    stray = ledger._book.vault.put("r-abcdef", "data", pack)
    with ledger._book.vault.filling():
        assert ledger.tidy() == [f"{id}: data shredded"], "somebody may be filling it"
    assert (ledger.settings.vault / "r-abcdef" / stray.name).exists()
    bare = ledger.settings.vault / "r-fedcba"
    bare.mkdir()  # killed before its place was made in it
    assert ledger.tidy() == ["r-abcdef: removed what a process that was killed had begun"]
    assert ledger.tidy() == []
    assert not bare.exists()
    assert [p.name for p in ledger.settings.vault.glob("r-*")] == [other]
    assert ledger.request(id).sealed == {"data": "shredded"}
    assert ledger.verify() is None


def test_a_commit_that_was_made_although_it_seemed_to_fail_keeps_its_data(
    ledger: Ledger, submission: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from excise.desk.ledger.book import Book

    write = Book.write

    @contextmanager
    def broken(book: Book) -> Iterator[object]:
        with write(book) as pen:
            yield pen
        raise ConnectionError

    with monkeypatch.context() as patched, pytest.raises(ConnectionError):
        patched.setattr(Book, "write", broken)
        ledger.submit(submission(), actor="ada")
    (request,) = ledger.requests()
    with ledger.unlock(request.id, actor="ada", reason="look") as folder:
        assert len(read(folder).records) == 2
    assert ledger.tidy() == []
