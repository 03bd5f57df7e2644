"""What `import excise` offers."""

from __future__ import annotations

import pytest

import excise


@pytest.mark.parametrize("name", excise.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(excise, name) is not None
    assert name in dir(excise)


def test_evaluate_can_be_called_after_its_room_was_imported() -> None:
    from excise.evaluate import intervals  # binds the name `evaluate` in the package

    assert intervals is not None
    assert callable(excise.evaluate)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'forgot'"):
        _ = excise.forgot  # type: ignore[attr-defined]
