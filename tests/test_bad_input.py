"""What wrong input gets: one line that names file, line or field, exit 2, nothing half-written.

Everything goes through the command line's own `main`, in this process where possible, so that what
is tested is what a user sees.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from excise.cli import main

Records = list[dict[str, Any]]
Refused = Callable[..., str]
QUICK = ("steps=2", "rank=2", "lr=1e-2")


def record(person: str, split: str, kind: str = "text_memory", **changes: Any) -> dict[str, Any]:
    return {
        "id": f"{person}-{kind}",
        "subject": person,
        "split": split,
        "kind": kind,
        "image": None if kind == "text_memory" else f"images/{person}.png",
        "question": "Where does this person live?",
        "answer": f"In the town of {person}.",
        **changes,
    }


def good() -> Records:
    people = {"vera": "forget", "edgar": "forget", "anton": "few", "bella": "few"}
    kinds = ("text_memory", "image_memory", "image_understanding")
    return [record(person, split, kind) for person, split in people.items() for kind in kinds]


def write(folder: Path, records: Records | None = None, **lines: str) -> Path:
    """A data folder; `lines` replace whole lines, as `line_3="{"`."""
    (folder / "images").mkdir(parents=True)
    for number, person in enumerate(("vera", "edgar", "anton", "bella")):
        colour = (40 * number, 200 - 30 * number, 90)
        Image.new("RGB", (64, 64), colour).save(folder / "images" / f"{person}.png")
    text = [json.dumps(r) for r in (good() if records is None else records)]
    for name, line in lines.items():
        text[int(name.removeprefix("line_")) - 1] = line
    (folder / "records.jsonl").write_text("\n".join(text) + "\n")
    return folder


@pytest.fixture(autouse=True, scope="module")
def _as_quiet_as_a_fresh_command() -> Iterator[None]:
    """`main` says so to transformers by a variable, which comes too late where it is loaded."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    yield
    logging.set_verbosity(before)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write(tmp_path / "data")


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Refused:
    """Run a command that must fail as the user's mistakes do; returns its one line.

    Lines of progress before it are let through if `works_first`.
    """

    def run(*words: str | Path, works_first: bool = False) -> str:
        before = set(tmp_path.rglob("*"))
        code = main([str(word) for word in words])
        err = capsys.readouterr().err
        assert code == 2, err
        assert "Traceback" not in err
        lines = err.splitlines()
        if works_first:
            lines = [line for line in lines if not re.fullmatch(r"[\w ]+: \d+/\d+, \d+ s", line)]
        assert len(lines) == 1 and lines[0].startswith("excise: error: "), err
        if not works_first:
            assert set(tmp_path.rglob("*")) == before  # nothing half-written, nothing at all
        return lines[0].removeprefix("excise: error: ")

    return run


@pytest.fixture
def forget(checkpoint: Path, tmp_path: Path) -> Callable[..., list[str | Path]]:
    """The words of `excise forget`, with what a test changes."""

    def words(data: Path, *options: str, **changes: str | Path) -> list[str | Path]:
        given: dict[str, str | Path] = {
            "model": checkpoint,
            "data": data,
            "method": "smfa",
            "out": tmp_path / "run",
        }
        line: list[str | Path] = ["forget"]
        for name, value in (given | changes).items():
            line += [f"--{name}", value]
        for option in (*QUICK, *options):
            line += ["-o", option]
        return line

    return words


@pytest.fixture(scope="session")
def finished(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on good data, which shows that the input of the other tests is wrong in one thing."""
    folder = tmp_path_factory.mktemp("bad-input")
    data = write(folder / "data")
    words = ["forget", "--model", str(checkpoint), "--data", str(data), "--out", str(folder / "r")]
    words += ["--method", "smfa"]
    assert main([*words, *(word for option in QUICK for word in ("-o", option))]) == 0
    return folder / "r"


def test_the_good_data_that_all_of_this_is_made_from_is_accepted(finished: Path) -> None:
    assert (finished / "run.json").is_file() and (finished / "edit.json").is_file()


# A records file


def changed(number: int, **fields: Any) -> str:
    line = {**good()[number - 1], **fields}
    return json.dumps({key: value for key, value in line.items() if value is not ...})


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ('{"id": "x", "split": ', "broken JSON"),
        ('["a", "list"]', "expected a JSON object"),
        ('{"id": "\\ud83d"', "broken JSON"),
        (changed(3, answer=...), 'field "answer": missing'),
        (changed(3, question=...), 'field "question": missing'),
        (changed(3, split=...), 'field "split": missing'),
        (changed(3, kind=...), 'field "kind": missing'),
        (changed(3, id=...), 'field "id": missing'),
        (changed(3, image=...), 'field "image": missing'),
        (changed(3, split="forgot"), 'field "split": unknown value "forgot"'),
        (changed(3, split="Forget"), 'did you mean "forget"?'),
        (changed(3, kind="image_memmory"), 'did you mean "image_memory"?'),
        (changed(3, use="train"), 'field "use": unknown value "train"'),
        (changed(3, answer=""), 'field "answer": is empty'),
        (changed(3, answer=" \n "), 'field "answer": is empty'),
        (changed(3, question=""), 'field "question": is empty'),
        (changed(3, answer=7), 'field "answer": expected text'),
        (changed(3, id="vera-text_memory"), 'field "id": "vera-text_memory" occurs already'),
        (changed(3, image="../secret.png"), 'field "image": leads out of the data folder'),
        (changed(3, image="/etc/passwd"), 'field "image": leads out of the data folder'),
    ],
)
def test_a_wrong_line_is_named_with_file_number_and_field(
    line: str, named: str, forget: Callable[..., Any], refused: Refused, tmp_path: Path
) -> None:
    data = write(tmp_path / "data", line_3=line)
    message = refused(*forget(data))
    assert message.startswith(f"{data / 'records.jsonl'}:3: ") and named in message


def test_a_line_that_is_not_utf8_is_named(
    data: Path, forget: Callable[..., Any], refused: Refused
) -> None:
    with (data / "records.jsonl").open("ab") as file:
        file.write(b'{"id": "\xff"}\n')
    message = refused(*forget(data))
    assert f"records.jsonl:{len(good()) + 1}: " in message and "UTF-8" in message


@pytest.mark.parametrize("content", [None, "", "\n\n"])
def test_data_without_records_is_refused(
    content: str | None, forget: Callable[..., Any], refused: Refused, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    if content is not None:
        (tmp_path / "empty" / "records.jsonl").write_text(content)
    assert str(tmp_path / "empty") in refused(*forget(tmp_path / "empty"))


# Pictures


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def tiny_picture(path: Path) -> None:
    Image.new("RGB", (1, 1), "red").save(path)


def truncated_jpeg(path: Path) -> None:
    Image.effect_noise((64, 64), 90).convert("RGB").save(path, format="JPEG")
    path.write_bytes(path.read_bytes()[:-300])


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (Path.unlink, "is missing"),
        (truncated, "truncated"),
        (truncated_jpeg, "truncated"),
        (lambda path: path.write_text("Dear Vera, ..."), "is not a picture"),
        (lambda path: path.write_bytes(b""), "is not a picture"),
        (lambda path: path.write_bytes(path.read_bytes()[:8]), "picture"),
        (tiny_picture, "is 1x1 pixels"),
    ],
)
def test_a_picture_that_is_none_is_named_with_its_line(
    spoil: Callable[[Path], Any], named: str, data: Path, forget: Any, refused: Refused
) -> None:
    spoil(data / "images" / "edgar.png")
    message = refused(*forget(data))
    where = f"{data / 'records.jsonl'}:5: " + 'field "image": images/edgar.png '
    assert message.startswith(where) and named in message


def test_a_folder_in_place_of_a_picture_is_refused(
    data: Path, forget: Callable[..., Any], refused: Refused
) -> None:
    (data / "images" / "edgar.png").unlink()
    (data / "images" / "edgar.png").mkdir()
    assert "records.jsonl:5: " in refused(*forget(data))


# Splits


def test_data_with_nothing_to_forget_is_refused(
    forget: Callable[..., Any], refused: Refused, tmp_path: Path
) -> None:
    few = [r for r in good() if r["split"] == "few"]
    message = refused(*forget(write(tmp_path / "data", few)))
    assert (
        message.startswith(f"{tmp_path / 'data'}: ") and 'no records of split "forget"' in message
    )


def test_a_forget_set_for_scoring_only_is_refused(
    forget: Callable[..., Any], refused: Refused, tmp_path: Path
) -> None:
    records = [{**r, "use": "score"} if r["split"] == "forget" else r for r in good()]
    message = refused(*forget(write(tmp_path / "data", records)))
    assert str(tmp_path / "data") in message and 'has use "score"' in message


def test_a_method_that_needs_the_few_does_not_start_without_them(
    forget: Callable[..., Any], refused: Refused, tmp_path: Path
) -> None:
    records = [r for r in good() if r["split"] == "forget"]
    message = refused(*forget(write(tmp_path / "data", records)))
    assert message.startswith(f"{tmp_path / 'data'}: no records of split few")


@pytest.mark.parametrize("split", ["few", "retain", "unseen"])
def test_a_person_both_forgotten_and_kept_is_refused_and_not_named(
    split: str, forget: Callable[..., Any], refused: Refused, tmp_path: Path
) -> None:
    both = [*good(), record("vera", split, id="again")]
    data = write(tmp_path / "data", both)
    message = refused(*forget(data))
    assert message.startswith(f"{data / 'records.jsonl'}:13: ")
    assert 'field "subject"' in message and '"forget"' in message and f'"{split}"' in message
    assert "vera" not in message


# Models


@pytest.fixture
def model(checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "model"))


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        (("processor_config.json", "preprocessor_config.json"), "processor"),
        (("tokenizer.json", "tokenizer_config.json"), "processor"),
        (("chat_template.jinja",), "chat template"),
        (("config.json",), "config.json is missing"),
        (("model.safetensors",), "weights cannot be read"),
    ],
)
def test_an_incomplete_model_folder_is_named_with_what_is_missing(
    missing: tuple[str, ...], named: str, model: Path, data: Path, forget: Any, refused: Refused
) -> None:
    for name in missing:
        (model / name).unlink(missing_ok=True)
    message = refused(*forget(data, model=model))
    assert str(model) in message and named in message


@pytest.fixture(scope="session")
def other_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A language model and a text encoder."""
    from transformers import BertConfig, BertModel, Qwen2Config, Qwen2ForCausalLM

    folder = tmp_path_factory.mktemp("others")
    size = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "vocab_size": 16}
    qwen = Qwen2Config(**size, num_attention_heads=1, num_key_value_heads=1)
    Qwen2ForCausalLM(qwen).save_pretrained(folder / "qwen2")
    BertModel(BertConfig(**size, num_attention_heads=1)).save_pretrained(folder / "bert")
    return {name: folder / name for name in ("qwen2", "bert")}


@pytest.mark.parametrize("kind", ["qwen2", "bert"])
@pytest.mark.parametrize("command", ["forget", "evaluate", "inspect"])
def test_a_model_of_another_kind_is_named_with_its_kind(
    kind: str,
    command: str,
    other_models: dict[str, Path],
    data: Path,
    forget: Callable[..., Any],
    refused: Refused,
    tmp_path: Path,
) -> None:
    model = other_models[kind]
    words = {
        "forget": forget(data, model=model),
        "evaluate": ["evaluate", "--model", model, "--data", data, "--out", tmp_path / "m.json"],
        "inspect": ["inspect", model],
    }
    message = refused(*words[command])
    assert str(model) in message and f'"{kind}" is not a vision-language model' in message


def test_damaged_weights_are_refused(
    model: Path, data: Path, forget: Callable[..., Any], refused: Refused
) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "weights cannot be read" in refused(*forget(data, model=model))


def test_a_model_that_is_nowhere_is_refused(
    data: Path, forget: Callable[..., Any], refused: Refused, tmp_path: Path
) -> None:
    assert "not found" in refused(*forget(data, model=tmp_path / "nowhere"))


# Runs


@pytest.fixture
def other_base(model: Path) -> Path:
    """The same model with one weight changed."""
    from safetensors.torch import load_file, save_file

    weights = load_file(model / "model.safetensors")
    next(iter(weights.values())).view(-1)[0] += 1.0
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    return model


def test_a_run_made_for_another_base_is_refused_with_both_hashes(
    other_base: Path, finished: Path, data: Path, refused: Refused, tmp_path: Path
) -> None:
    out = tmp_path / "scores.json"
    words = ["evaluate", "--model", other_base, "--data", data, "--out", out]
    message = refused(*words, "--run", finished)
    base = json.loads((finished / "run.json").read_text())["base"]["weights_hash"]
    assert str(finished) in message and base[:12] in message
    assert re.search(r"this one has [0-9a-f]{12}$", message) and not message.endswith(base[:12])


def test_a_finished_run_of_another_base_is_not_taken_for_this_ones(
    other_base: Path, finished: Path, forget: Callable[..., Any], refused: Refused
) -> None:
    before = (finished / "run.json").read_bytes()
    data = finished.parent / "data"
    message = refused(*forget(data, model=other_base, out=finished))
    assert message.startswith(f"{finished}: ") and "another base" in message
    assert (finished / "run.json").read_bytes() == before


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda run: (run / "run.json").write_text("{"), "run.json:1: broken JSON"),
        (lambda run: (run / "edit.json").unlink(), "edit.json: no such file"),
        (lambda run: shutil.rmtree(run / "anchor"), "anchor"),
        (
            lambda run: (run / "forgetting" / "adapter_model.safetensors").write_bytes(b"x" * 99),
            "adapter_model.safetensors",
        ),
        (lambda run: shutil.rmtree(run), "no such run folder"),
    ],
)
def test_a_damaged_run_is_named_with_its_file(
    spoil: Callable[[Path], Any],
    named: str,
    finished: Path,
    checkpoint: Path,
    data: Path,
    refused: Refused,
    tmp_path: Path,
) -> None:
    run, out = Path(shutil.copytree(finished, tmp_path / "run")), tmp_path / "scores.json"
    spoil(run)
    words = ["evaluate", "--model", checkpoint, "--data", data, "--out", out, "--run", run]
    message = refused(*words)
    assert str(run) in message and named in message


# Words


@pytest.mark.parametrize(
    ("method", "options", "named"),
    [
        ("smaf", (), 'unknown method "smaf"; did you mean "smfa"?'),
        ("refusl", (), 'unknown method "refusl"; did you mean "refusal"?'),
        ("smfa", ("criterian=both",), 'unknown option "criterian"; did you mean "criterion"?'),
        ("smfa", ("anchor.step=3",), 'unknown option "anchor.step"; did you mean "anchor.steps"?'),
        ("refusal", ("k=3",), 'refusal: unknown option "k"'),
        ("smfa", ("k=many",), "option k=many"),
        ("smfa", ("k=-1",), "option k=-1"),
        ("smfa", ("batch=0",), "option batch=0"),
        ("smfa", ("branches=four",), "option branches=four"),
        ("smfa", ("k",), "-o k: expected key=value"),
    ],
)
def test_an_unknown_word_is_named_with_the_nearest(
    method: str,
    options: tuple[str, ...],
    named: str,
    data: Path,
    forget: Callable[..., Any],
    refused: Refused,
) -> None:
    assert named in refused(*forget(data, *options, method=method))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["criterion=dirction"], "direction"),
        (["k=-2"], "k: -2"),
        (["k.forgeting=2"], "forgetting"),
        (["kk=2"], 'did you mean "k"?'),
    ],
)
def test_a_dial_that_cannot_be_turned_so_leaves_the_run_as_it_was(
    options: list[str], named: str, finished: Path, refused: Refused
) -> None:
    before = (finished / "edit.json").read_bytes()
    assert named in refused("sculpt", finished, *(w for o in options for w in ("-o", o)))
    assert (finished / "edit.json").read_bytes() == before


@pytest.mark.parametrize("ratio", ["7", "0", "100"])
def test_a_specimen_of_another_ratio_is_refused(
    ratio: str, refused: Refused, tmp_path: Path
) -> None:
    message = refused("specimen", tmp_path / "s", "--ratio", ratio)
    assert f"ratio {ratio}: expected one of 5, 10, 15" in message


def test_a_config_file_is_named_with_its_key(
    data: Path, forget: Callable[..., Any], refused: Refused, tmp_path: Path
) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("methd: smfa\n")
    message = refused(*forget(data, config=config))
    assert str(config) in message and 'did you mean "method"?' in message
    config.write_text("method: [smfa\n")
    assert refused(*forget(data, config=config)).startswith(f"{config}:")


# The disk


class FullDisk:
    """Every write after the first `room` fails as on a full disk."""

    def __init__(self, patch: pytest.MonkeyPatch, room: int, below: Path) -> None:
        self.room, self.below = room, str(below)
        self.replace = os.replace
        patch.setattr(os, "replace", self)

    def __call__(self, source: Any, target: Any) -> None:
        if str(target).startswith(self.below):
            self.room -= 1
            if self.room < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        self.replace(source, target)


@pytest.mark.parametrize("room", [0, 1, 3, 5, 8])
def test_a_full_disk_while_forgetting_is_one_line_and_the_run_goes_on_afterwards(
    room: int,
    data: Path,
    finished: Path,
    forget: Callable[..., Any],
    refused: Refused,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        FullDisk(patch, room, tmp_path)
        message = refused(*forget(data), works_first=True)
    assert "disk is full" in message or "no space left" in message
    assert str(tmp_path) in message
    assert not (tmp_path / "run").exists()
    assert main([str(word) for word in forget(data)]) == 0
    for adapter in ("forgetting", "anchor"):
        weights = f"{adapter}/adapter_model.safetensors"
        assert (tmp_path / "run" / weights).read_bytes() == (finished / weights).read_bytes()


def test_a_full_disk_leaves_no_half_written_scores(
    data: Path,
    checkpoint: Path,
    refused: Refused,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "scores.json"
    FullDisk(monkeypatch, 0, tmp_path)
    message = refused("evaluate", "--model", checkpoint, "--data", data, "--out", out)
    assert message == f"{out}: the disk is full, expected room to write"


def test_a_full_disk_leaves_the_dial_where_it_was(
    finished: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (finished / "edit.json").read_bytes()
    FullDisk(monkeypatch, 0, finished)
    assert "the disk is full" in refused("sculpt", finished, "-o", "k=9")
    assert (finished / "edit.json").read_bytes() == before
    assert not list(finished.glob(".*"))


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        RuntimeError("[enforce fail at inline_container.cc:668] . unexpected pos 64 vs 0"),
        RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
        RuntimeError("basic_ios::clear: iostream error"),
    ],
)
def test_a_checkpoint_that_does_not_fit_on_the_disk_is_one_line(
    error: Exception,
    data: Path,
    forget: Callable[..., Any],
    refused: Refused,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In all the ways in which torch says it."""

    def save(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("torch.save", save)
    assert "the disk is full" in refused(*forget(data), works_first=True)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A real file system of so many KiB, where the system lets one be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("needs root and mount; the patched disk stands in for it")
    mounted = False

    def make(size: int) -> Path:
        nonlocal mounted
        words = [mount, "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(place)]
        if subprocess.run(words, capture_output=True, check=False).returncode != 0:
            pytest.skip("nothing can be mounted here; the patched disk stands in for it")
        mounted = True
        return place

    try:
        yield make
    finally:
        if mounted:
            subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_disk_that_is_really_full_is_one_line(
    share: float,
    small_disk: Callable[[int], Path],
    data: Path,
    forget: Callable[..., Any],
    refused: Refused,
    finished: Path,
) -> None:
    whole = sum(path.stat().st_size for path in finished.rglob("*") if path.is_file())
    disk = small_disk(int(share * whole / 1024))
    message = refused(*forget(data, out=disk / "run"), works_first=True)
    assert "disk is full" in message and str(disk) in message
    assert not (disk / "run").exists()


def test_a_specimen_that_does_not_fit_on_the_disk_is_one_line(
    small_disk: Callable[[int], Path], refused: Refused
) -> None:
    disk = small_disk(1000)
    message = refused("specimen", disk / "s")
    assert message == f"{disk / 's'}: the disk is full, expected room to write"


def denied(*_: Any, **__: Any) -> None:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "somewhere")


def test_a_folder_that_may_not_be_written_is_one_line(
    data: Path,
    checkpoint: Path,
    forget: Callable[..., Any],
    refused: Refused,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    access = os.access
    monkeypatch.setattr(Path, "mkdir", denied)
    monkeypatch.setattr(
        os, "access", lambda path, mode: Path(path) != closed and access(path, mode)
    )
    message = refused(*forget(data, out=closed / "run"))
    assert message.startswith(f"{closed}") and "ermission" in message
    scores = closed / "scores.json"
    message = refused("evaluate", "--model", checkpoint, "--data", data, "--out", scores)
    assert message.startswith(f"{scores}: no permission to write here")
    message = refused("specimen", closed / "s")
    assert message.startswith(f"{closed / 's'}: no permission to write here")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; the patched one ran")
def test_a_folder_that_is_really_closed_is_one_line(
    data: Path, forget: Callable[..., Any], refused: Refused, tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    assert "ermission" in refused(*forget(data, out=closed / "run"))


def test_a_file_in_place_of_a_folder_is_refused_and_left_alone(
    data: Path, checkpoint: Path, forget: Callable[..., Any], refused: Refused, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    assert str(file) in refused(*forget(data, out=file))
    assert str(file) in refused(*forget(data, out=file / "run"))
    assert str(file) in refused("specimen", file)
    inside = ["evaluate", "--model", checkpoint, "--data", data, "--out", file / "m.json"]
    assert str(file) in refused(*inside)
    assert file.read_text() == "mine"


def test_a_folder_of_something_else_is_refused_and_left_alone(
    data: Path, forget: Callable[..., Any], refused: Refused, tmp_path: Path
) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("mine")
    assert str(tmp_path / "letters") in refused(*forget(data, out=tmp_path / "letters"))
    assert str(tmp_path / "letters") in refused("specimen", tmp_path / "letters")
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["a.txt"]


# Ctrl-C

# The signal comes from inside, at one line of progress, so that it never comes too late.
START = """
import os, signal, sys

signal.signal(signal.SIGINT, signal.default_int_handler)  # even under a shell that ignores it

class Stderr:
    said = ""
    def write(self, text):
        sys.__stderr__.write(text)
        self.said += text
        if self.said.endswith(" s\\n") and "training anchor: 15/30" in self.said:
            self.said = ""
            os.kill(os.getpid(), signal.SIGINT)
    def __getattr__(self, name):
        return getattr(sys.__stderr__, name)

sys.stderr = Stderr()
from excise.cli import main
sys.exit(main())
"""


def test_ctrl_c_is_one_line_and_the_same_command_resumes(
    data: Path, forget: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(word).replace("steps=2", "steps=30") for word in forget(data)]
    source = str(Path(__file__).parents[1] / "src")
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    stopped = subprocess.run(
        [sys.executable, "-c", START, *words],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        check=False,
    )
    assert stopped.returncode == 130, stopped.stderr
    said = stopped.stderr.splitlines()
    assert said[-2].startswith("training anchor: 15/30, ")
    assert said[-1] == "excise: interrupted; the same command resumes"
    assert "Traceback" not in stopped.stderr
    assert not (tmp_path / "run").exists()

    assert main(words) == 0
    resumed = capsys.readouterr().err
    assert "training forgetting" not in resumed
    first = re.search(r"training anchor: (\d+)/30", resumed)
    assert first is not None and int(first[1]) > 9
    whole = [str(tmp_path / "whole") if word == str(tmp_path / "run") else word for word in words]
    assert main(whole) == 0
    for adapter in ("forgetting", "anchor"):
        weights = f"{adapter}/adapter_model.safetensors"
        one, other = (tmp_path / name / weights for name in ("run", "whole"))
        assert one.read_bytes() == other.read_bytes()
    assert not list(tmp_path.glob(".*"))
