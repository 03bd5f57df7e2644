from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import torch
from PIL import Image

from excise.training import FitSettings, answer_cross_entropy, fit
from excise.training.relearn import relearnt
from excise.training.trainer import AnswerTrainer
from excise.vlm import VLM, Packer, Row, Turn

SETTINGS = FitSettings(rank=4, alpha=8, dropout=0.5, lr=1e-2, steps=12, batch=2)


@pytest.fixture
def rows(pictures: list[Image.Image]) -> list[Row]:
    return [
        Row(pictures[0], (Turn("Who is this?", "Vera Lindqvist"), Turn("Where?", "Riga"))),
        Row(None, (Turn("Where does Vera Lindqvist live?", "Riga"),)),
    ]


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders go."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def loss(vlm: VLM, rows: list[Row]) -> float:
    packer = Packer(vlm.processor, vlm.model)
    with torch.no_grad():
        return answer_cross_entropy(vlm.model, packer.collate(map(packer.encode, rows))).item()


def bits(vlm: VLM) -> dict[str, bytes]:
    return {n: t.contiguous().numpy().tobytes() for n, t in vlm.model.state_dict().items()}


def test_inside_the_model_knows_more_and_nothing_is_left_on_disk(
    tiny: VLM, rows: list[Row], scratch: Path
) -> None:
    before, modules = loss(tiny, rows), dict(tiny.model.named_modules())
    kept, applied = bits(tiny), tiny.applied
    with relearnt(tiny, rows, settings=SETTINGS, seed=0) as result:
        assert [*scratch.iterdir()] == []
        assert loss(tiny, rows) < 0.8 * before
        assert loss(tiny, rows) == loss(tiny, rows), "dropout is off"
        assert result.steps == len(result.losses) == 12
    assert bits(tiny) == kept and tiny.applied == applied
    assert dict(tiny.model.named_modules()) == modules
    assert loss(tiny, rows) == before


def test_what_is_asked_has_the_weights_that_were_fitted(
    tiny: VLM, rows: list[Row], scratch: Path
) -> None:
    from peft import PeftModel

    with relearnt(tiny, rows, settings=SETTINGS, seed=3):
        inside = loss(tiny, rows)
    fit(tiny, rows, settings=SETTINGS, out=scratch / "a", seed=3)
    packer = Packer(tiny.processor, tiny.model)
    with torch.no_grad():
        adapted = PeftModel.from_pretrained(tiny.model, scratch / "a")
        batch = packer.collate(map(packer.encode, rows))
        assert answer_cross_entropy(adapted, batch).item() == inside  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_leaves_the_model_as_it_was(
    tiny: VLM, rows: list[Row], scratch: Path, error: type[BaseException]
) -> None:
    kept, draw = bits(tiny), torch.random.get_rng_state()
    with pytest.raises(error), relearnt(tiny, rows, settings=SETTINGS, seed=0):
        raise error
    assert bits(tiny) == kept and [*scratch.iterdir()] == []
    assert torch.equal(torch.random.get_rng_state(), draw)


def test_a_failing_fit_leaves_the_model_and_the_disk_as_they_were(
    tiny: VLM, rows: list[Row], scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise RuntimeError("broken")

    kept = bits(tiny)
    monkeypatch.setattr(AnswerTrainer, "training_step", failing)
    with pytest.raises(RuntimeError, match="broken"):  # noqa: SIM117
        with relearnt(tiny, rows, settings=SETTINGS, seed=0):
            pass
    assert bits(tiny) == kept and [*scratch.iterdir()] == []
