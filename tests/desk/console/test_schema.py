"""The API by its own document: schemathesis tries every operation, as it should and should not be.

Without its plugin for pytest, which shares a test's id between examples: the operations are the
parameters here, and the examples come from a fixed seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from tests.desk.console.conftest import copied

schemathesis = pytest.importorskip("schemathesis")

if TYPE_CHECKING:
    from tests.desk.console.conftest import Desk

EXAMPLES = 12


def operations() -> list[tuple[str, str]]:
    from excise.desk.console.api import router

    return [(m, r.path) for r in router.routes for m in sorted(r.methods)]  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def tried(template: Desk, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return copied(template, tmp_path_factory.mktemp("tried"))


@pytest.fixture(scope="module")
def document(tried: Desk) -> Iterator[Any]:
    app = tried.app(hosts=("testserver", "localhost"))
    found = schemathesis.openapi.from_asgi("/openapi.json", app)

    @found.auth()
    class Key:
        def get(self, case: Any, context: Any) -> str:
            return tried.tokens["officer"]

        def set(self, case: Any, data: str, context: Any) -> None:
            case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}

    yield found
    app.state.console.ledger.close()


@pytest.mark.parametrize("meant", ["POSITIVE", "NEGATIVE"])
@pytest.mark.parametrize(("method", "path"), operations())
def test_every_operation_keeps_to_the_document(
    document: Any, method: str, path: str, meant: str
) -> None:
    mode = getattr(schemathesis.GenerationMode, meant)
    checks = schemathesis.checks
    # What a document cannot say makes 400 of a well-formed upload: a model that is not registered.
    excluded = [checks.positive_data_acceptance] if path == "/api/requests" else []

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=document[path][method].as_strategy(generation_mode=mode))
    def keeps_to_it(case: Any) -> None:
        case.call_and_validate(excluded_checks=excluded)

    keeps_to_it()


def test_the_document_tells_what_can_go_wrong_and_asks_for_a_key(reader: Any) -> None:
    paths = reader.get("/openapi.json").json()["paths"]
    assert len(paths) > 15
    for path, methods in paths.items():
        for method, operation in methods.items():
            assert {"401", "403", "422", "429"} <= set(operation["responses"]), (method, path)
            assert operation["security"], (method, path)
