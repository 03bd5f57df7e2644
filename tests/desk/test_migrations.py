"""The migrations make the very tables that the code works on, from wherever excise is installed."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from excise.desk.ledger import Ledger
from excise.desk.ledger import schema as the_schema
from excise.desk.ledger.database import connect
from excise.desk.ledger.tables import metadata
from excise.records import InputError


def say(url: str, *statements: str) -> None:
    engine = connect(url)
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        for statement in statements:
            connection.execute(sa.text(statement))
    engine.dispose()


def test_models_and_migrations_agree(ledger: Ledger, url: str) -> None:
    engine = connect(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        found = sa.inspect(connection)
        for table in metadata.sorted_tables:
            here = {column["name"]: column["nullable"] for column in found.get_columns(table.name)}
            assert here == {column.name: bool(column.nullable) for column in table.columns}
            assert found.get_pk_constraint(table.name)["constrained_columns"] == [
                column.name for column in table.primary_key.columns
            ]
    engine.dispose()


def test_the_versions_are_those_of_the_files() -> None:
    scripts = ScriptDirectory(str(files("excise.desk") / "migrations"))
    assert [s.revision for s in scripts.walk_revisions()][::-1] == list(the_schema.VERSIONS)
    assert scripts.get_current_head() == the_schema.VERSIONS[-1]


def test_the_migrations_lie_inside_the_package() -> None:
    folder = Path(str(files("excise.desk") / "migrations"))
    assert (folder / "env.py").is_file()
    assert list((folder / "versions").glob("r*.py"))


def test_a_newer_ledger_is_left_alone(
    ledger: Ledger, url: str, opened: Callable[[], Ledger], tmp_path: Path
) -> None:
    say(url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(InputError, match="schema 9999 is of a newer excise.*upgrade excise"):
        opened()
    with pytest.raises(InputError, match="newer excise"):
        Ledger.init(url, folder=tmp_path / "files", key_file=tmp_path / "desk.key", upgrade=True)
    say(url, "UPDATE alembic_version SET version_num = '0001'")
    with opened() as again:
        assert again.verify() is None


def test_an_older_ledger_says_how_to_upgrade_and_upgrades(
    ledger: Ledger, url: str, opened: Callable[[], Ledger], tmp_path: Path,
    queue: Callable[..., str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    id = queue()
    ledger.close()
    with monkeypatch.context() as later:
        later.setattr(the_schema, "VERSIONS", ("0001", "0002"))
        with pytest.raises(InputError, match="0001 is older.*excise desk init --upgrade"):
            opened()
    with Ledger.init(
        url, folder=tmp_path / "files", key_file=tmp_path / "desk.key", upgrade=True
    ) as upgraded:
        assert upgraded.request(id).state == "queued"
        assert upgraded.entries()[-1].kind == "ledger.upgraded"
        assert upgraded.verify() is None


def test_a_ledger_is_not_made_over_another(ledger: Ledger, url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds a ledger already"):
        Ledger.init(url, folder=tmp_path / "files", key_file=tmp_path / "desk.key")
    assert [model.name for model in ledger.models()] == ["m"]


def test_a_making_that_fails_leaves_no_table(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def make() -> Ledger:
        return Ledger.init(url, folder=tmp_path / "files", key_file=tmp_path / "desk.key")

    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr("excise.desk.ledger.opening._begin", failing)
        make()
    engine = connect(url)
    with engine.connect() as connection:
        assert sa.inspect(connection).get_table_names() == []
    engine.dispose()
    make().close()
