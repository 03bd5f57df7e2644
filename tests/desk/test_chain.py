"""Whatever is changed behind the ledger's back is found, and named."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from excise.desk.ledger import Ledger
from excise.desk.ledger.chain import link
from excise.desk.ledger.database import connect
from excise.records import InputError

Run = Callable[..., None]
TRIGGERS = {
    "entries_never_change": "entries",
    "entries_never_go": "entries",
    "head_only_grows": "head",
    "head_never_goes": "head",
    "head_never_emptied": "head",
}


@pytest.fixture
def behind(url: str) -> Run:
    """Runs a statement as somebody with the database's password would."""

    def run(statement: str, **values: object) -> None:
        engine = connect(url)
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            connection.execute(sa.text(statement), values)
        engine.dispose()

    return run


@pytest.fixture
def unguarded(url: str, behind: Run) -> Run:
    """The same, after the triggers were dropped."""
    for name, table in TRIGGERS.items():
        of = "" if url.startswith("sqlite") else f" ON {table}"
        behind(f"DROP TRIGGER IF EXISTS {name}{of}")
    return behind


@pytest.fixture
def id(ledger: Ledger, queue: Callable[..., str]) -> str:
    """A request with entries 3 and 4, between the model's (2) and another one's (5, 6)."""
    found = queue(0)
    queue(1)
    return found


def named(ledger: Ledger, **more: object) -> tuple[str, int | None]:
    broken = ledger.verify(**more)  # type: ignore[arg-type]
    assert broken is not None
    return broken.where, broken.entry


def test_nothing_is_wrong_with_what_nobody_touched(ledger: Ledger, id: str) -> None:
    assert ledger.verify() is None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET actor = 'eve' WHERE number = 3",
        "DELETE FROM entries WHERE number = 6",
        "DELETE FROM entries",
        "UPDATE head SET count = count - 1",
        "DELETE FROM head",
    ],
)
def test_the_database_itself_refuses_to_rewrite_the_log(
    ledger: Ledger, id: str, behind: Run, statement: str
) -> None:
    with pytest.raises(sa.exc.DBAPIError, match="append-only|only grows"):
        behind(statement)
    assert ledger.verify() is None


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_postgresql_refuses_to_empty_the_log(ledger: Ledger, id: str, behind: Run) -> None:
    with pytest.raises(sa.exc.DBAPIError, match="append-only"):
        behind("TRUNCATE entries")


@pytest.mark.parametrize(
    "change",
    ["actor = 'eve'", "time = '2020-01-01'", "kind = 'x'", "request = NULL", "content = '{}'"],
)
def test_a_changed_entry_is_named(ledger: Ledger, id: str, unguarded: Run, change: str) -> None:
    unguarded(f"UPDATE entries SET {change} WHERE number = 3")
    assert named(ledger) == ("entry 3", 3)


def test_an_entry_rewritten_with_its_hash_is_named(ledger: Ledger, id: str, unguarded: Run) -> None:
    entry = ledger.entries()[2]
    digest = link(3, entry.time.isoformat(timespec="microseconds"), "eve", entry.kind,
                  entry.request, '{"rows":[]}', entry.previous)  # fmt: skip
    unguarded(
        "UPDATE entries SET actor='eve', content='{\"rows\"\\:[]}', hash=:h WHERE number=3",
        h=digest,
    )
    assert named(ledger) == ("entry 3", 3)


def test_a_removed_entry_is_named(ledger: Ledger, id: str, unguarded: Run) -> None:
    unguarded("DELETE FROM entries WHERE number = 4")
    assert named(ledger) == ("entry 4", 4)


def test_a_tail_that_was_cut_off_is_named(ledger: Ledger, id: str, unguarded: Run) -> None:
    unguarded("DELETE FROM entries WHERE number >= 5")
    assert named(ledger) == ("entry 5", 5)


def test_a_head_set_back_with_the_tail_is_found(ledger: Ledger, id: str, unguarded: Run) -> None:
    unguarded("DELETE FROM entries WHERE number >= 5")
    fourth = ledger.entries()[-1].hash
    unguarded("UPDATE head SET count = 4, hash = :h", h=fourth)
    assert named(ledger) == ("head", None), "its seal is that of another count"


def test_a_whole_older_ledger_is_found_by_a_noted_head(
    url: str, ledger: Ledger, id: str, unguarded: Run
) -> None:
    engine = connect(url)
    with engine.connect() as connection:
        old = dict(connection.execute(sa.text("SELECT * FROM head")).mappings().one())
    engine.dispose()
    ledger.log("check", {"told": 0}, actor="ada")
    noted = ledger.head()
    assert ledger.verify(head=noted) is None
    unguarded("DELETE FROM entries WHERE number = 7")
    unguarded("UPDATE head SET count = :count, hash = :hash, seal = :seal WHERE id = :id", **old)
    assert ledger.verify() is None, "an old copy is a valid chain"
    assert named(ledger, head=noted) == ("entry 7", 7)
    ledger.log("check", {"told": 1}, actor="ada")
    assert named(ledger, head=noted) == ("entry 7", 7)
    with pytest.raises(InputError, match="expected COUNT:HASH"):
        ledger.verify(head="7")


def test_a_changed_row_is_named_with_the_entry_that_told_last(
    ledger: Ledger, id: str, behind: Run
) -> None:
    behind("UPDATE requests SET deadline = '2030-01-01' WHERE id = :id", id=id)
    broken = ledger.verify()
    assert broken is not None
    assert (broken.where, broken.entry) == (f"request {id}", 4)
    assert "requests.deadline" in broken.reason


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE parts SET state = 'released' WHERE request = :id", "request"),
        ("DELETE FROM sealed WHERE request = :id", "request"),
        ("UPDATE sealed SET status = 'shredded' WHERE request = :id", "request"),
        ("UPDATE models SET weights_hash = 'ff'", "model"),
        (
            "INSERT INTO api_keys VALUES ('k-1', 'eve', 'officer', 'hash', '2026', 0)",
            "key",
        ),
    ],
)
def test_every_table_is_compared_with_the_log(
    ledger: Ledger, id: str, behind: Run, statement: str, what: str
) -> None:
    behind(statement, **({"id": id} if ":id" in statement else {}))
    assert named(ledger)[0].startswith(what)


def test_a_changed_ciphertext_is_named(ledger: Ledger, id: str) -> None:
    (file,) = (ledger.settings.vault / id).glob("*/data.enc")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert named(ledger) == (f"vault {id}", None)
    assert ledger.verify(vault=False) is None


def test_the_log_holds_no_name_question_or_answer(
    ledger: Ledger, id: str, person_data: object
) -> None:
    from excise.records import Data

    assert isinstance(person_data, Data)
    ledger.withdraw(id, "no longer wanted", actor="ada")
    text = repr(ledger.entries()) + repr(ledger.requests())
    for record in person_data.records:
        for private in (record.subject, record.question, record.answer, record.id):
            assert private is not None and private not in text
