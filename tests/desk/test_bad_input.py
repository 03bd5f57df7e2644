"""What is wrong is said in one line that quotes nobody, and nothing is lost by it."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from excise.desk.ledger import Ledger, Locked, Submission, Unknown
from excise.records import Data, InputError, Record

from .conftest import NAMES

Make = Callable[..., Submission]


@pytest.fixture
def refuses(ledger: Ledger, submission: Make, person_data: Data) -> Callable[..., str]:
    """Submits something wrong; what was said, after seeing that nothing came of it."""

    def check(match: str, **wrong: object) -> str:
        before = ledger.head()
        with pytest.raises(InputError, match=match) as told:
            ledger.submit(submission(**wrong), actor="ada")
        line = str(told.value)
        assert "\n" not in line
        assert not any(word in line for name in NAMES for word in name.split())
        assert not any(record.answer in line for record in person_data.records)
        assert ledger.requests() == [] and ledger.head() == before
        assert not list(ledger.settings.vault.glob("r-*"))
        return line

    return check


def test_an_unregistered_model_is_told_with_the_nearest_name(
    ledger: Ledger, refuses: Callable[..., str], submission: Make
) -> None:
    ledger.register_model("served", "models/s", "ab" * 32, actor="ada")
    line = refuses('model: "serve" is not registered, expected one of m, served', models=("serve",))
    assert 'did you mean "served"' in line
    with pytest.raises(Unknown):
        ledger.submit(submission(models=("m", "o")), actor="ada")
    assert ledger.requests() == []
    refuses("model: none given", models=())


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_deadline_that_is_past_is_refused_unless_it_is_known_to_be(
    ledger: Ledger, refuses: Callable[..., str], submission: Make
) -> None:
    refuses("deadline: 2026-03-30 is past", deadline=date(2026, 3, 30))
    refuses("deadline: 2026-02-28 is past", received=date(2026, 1, 31))
    refuses("received: 2026-04-01 is in the future", received=date(2026, 4, 1))
    refuses("expected between 2026-03-31 and 2026-06-30", deadline=date(2026, 7, 1))
    id = ledger.submit(submission(received=date(2026, 1, 31), late=True), actor="ada")
    assert ledger.request(id).days_left(date(2026, 3, 31)) < 0


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_records_that_contradict_each_other_are_refused_by_number(
    refuses: Callable[..., str], person_data: Data
) -> None:
    mine = person_data.records[1]
    other = Record(**{**mine.model_dump(), "id": "x", "answer": "A teacher."})
    same = Record(**{**mine.model_dump(), "id": "y", "answer": "a NIGHT nurse"})
    agreeing = dataclasses.replace(person_data, records=(*person_data.records, same))
    data = dataclasses.replace(agreeing, records=(*agreeing.records, other))
    line = refuses("data: records 2 and 4 of the person ask the same question", data=data)
    assert "teacher" not in line and "job" not in line


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_it_must_be_clear_whom_it_is_about(refuses: Callable[..., str], person_data: Data) -> None:
    refuses('data: 3 people in split "forget", expected one, or a subject', subject=None)
    refuses("none of the records .* are about that person", subject="Somebody Else")
    refuses("subject: is empty", subject=" ")
    refuses("subject: missing", subject=None, data=None)
    kept = tuple(r.model_copy(update={"split": "few"}) for r in person_data.records)
    refuses('no records of split "forget"', data=dataclasses.replace(person_data, records=kept))


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_an_upload_that_is_no_picture_is_refused(
    refuses: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "vera lindqvist.png").write_text("<html>")
    refuses("picture 1: is not a picture", data=None, pictures=(tmp_path / "vera lindqvist.png",))


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_basis_that_names_the_person_is_refused(refuses: Callable[..., str]) -> None:
    refuses("legal basis: names the person", legal_basis=f"letter of {NAMES[0]}")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nonsense", "not a database's URL"),
        ("mysql://h/d", "not a database's URL|not supported"),
        ("sqlite://", "names no file"),
        ("sqlite:///nowhere.db", "nowhere.db: no such ledger"),
    ],
)
def test_a_wrong_place_is_named(
    url: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=reason):
        Ledger.open(url)
    assert list(tmp_path.iterdir()) == []


def test_a_password_is_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url in ("postgresql://u:s3cret@127.0.0.1:1/d", "postgresql:/u:s3cret@127.0.0.1:1/d"):
        with pytest.raises(InputError) as told:
            Ledger.open(url)
        assert "s3cret" not in str(told.value)


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_missing_database_or_an_empty_one_is_told(url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no ledger, expected one made by excise desk init"):
        Ledger.open(url, folder=tmp_path / "f", key_file=tmp_path / "k")
    with pytest.raises(InputError, match="no such database"):
        Ledger.open(url[:-6] + "missing", folder=tmp_path / "f", key_file=tmp_path / "k")


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "desk.db").write_bytes(b"GIF89a" * 400)
    with pytest.raises(InputError, match="desk.db: is no database"):
        Ledger.open(f"sqlite:///{tmp_path}/desk.db")
    assert (tmp_path / "desk.db").read_bytes() == b"GIF89a" * 400


def test_a_locked_ledger_says_so_and_can_still_be_read(
    ledger: Ledger, submission: Make, url: str, opened: Callable[[], Ledger],
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.setenv("EXCISE_DESK_WAIT", "0.2")
    impatient = opened()
    if url.startswith("sqlite"):
        lock = sqlite3.connect(tmp_path / "desk.db", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
    else:
        import psycopg

        lock = psycopg.connect(url)  # type: ignore[assignment]
        lock.execute("SELECT * FROM head FOR UPDATE")
    with pytest.raises(Locked, match="locked by somebody else for 0.2 s") as told:
        impatient.submit(submission(), actor="ada")
    assert "\n" not in str(told.value)
    assert impatient.counts()["received"] == 0
    assert not list(ledger.settings.vault.glob("r-*"))
    lock.rollback() if not url.startswith("sqlite") else lock.execute("ROLLBACK")
    lock.close()
    assert impatient.submit(submission(), actor="ada")
    impatient.close()
