"""A desk for the specimen, small enough to forget somebody in seconds, with real training.

Training is the dear part, so it is done once a person and process: `Trained` trains whom it has not
seen alone, and makes a batch's run of the sums of what it has. Everything else is the desk's own,
as it runs every day.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from excise.desk.ledger import Ledger
    from excise.desk.work import Worker
    from excise.desk.work.forgetting import Training
    from excise.records import Data

OPTIONS = {
    "steps": "24",
    "lr": "0.01",
    "batch": "4",
    "push": "2",
    "views": "1",
    "anchor_pictures": "8",
    "anchor_names": "4",
    "strength": "1.5",
}
"""Twelve seconds a person: the memory goes, and much else with it, as a lenient gate allows."""
GATE = "leak.plain: {at_most: 0.15}\nmeaningful: {at_least: 5}\nkept.memory: {at_least: 0.1}\n"
ANYBODY = "leak.plain: {at_most: 1}\nmeaningful: {at_least: 0}\n"


@dataclass
class Trained:
    """The training step: real at first, a sum of copies from then on."""

    folder: Path
    made: dict[str, Path] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    """What was asked for, as request+request/setting, since the last desk was made."""

    def __call__(self, training: Training) -> None:
        from excise.weights.run import Run
        from excise.weights.stack import stack, upon

        self.calls.append(f"{'+'.join(training.requests)}/{training.out.name}")
        training.alive()
        alone = [self._alone(training, number) for number in range(len(training.requests))]
        part = training.out.with_name(f".{training.out.name}.unfinished")
        shutil.rmtree(part, ignore_errors=True)
        made = stack([Run.load(path) for path in alone], part)
        if training.upon is not None:
            upon(training.upon, part, made.edit).write(part / "edit.json")
        info = json.loads((part / "run.json").read_text())
        info["base"]["weights_hash"] = training.vlm().weights_hash
        info["settings"] = dict(training.options)
        (part / "run.json").write_text(json.dumps(info))
        part.rename(training.out)

    def _alone(self, training: Training, number: int) -> Path:
        """The run of one of the batch's people, trained by itself."""
        from excise.desk.work.forgetting import train
        from excise.records import Data

        data = training.data
        own = f"request-{number:03d}/"
        kept = tuple(r for r in data.records if r.split != "forget" or r.id.startswith(own))
        hashes = {_hash(data, r.image) for r in kept if r.split == "forget" and r.image}
        found = next((self.made[digest] for digest in hashes if digest in self.made), None)
        if found is None:
            found = self.folder / f"run-{len(list(self.folder.iterdir()))}"
            mine = Data(data.folder, kept, data.embedded)
            train(replace(training, data=mine, upon=None, out=found))
        self.made |= dict.fromkeys(hashes, found)
        return found


@dataclass
class SpecimenDesk:
    """A ledger with the model `m`, and people who may ask to be forgotten."""

    folder: Path
    ledger: Ledger
    people: dict[str, Data]
    trained: Trained
    said: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return [*self.people]

    def submit(self, person: int, **more: Any) -> str:
        """A request of one of the people, accepted."""
        from excise.desk.ledger import Submission

        name = self.names[person]
        made = Submission(("m",), self.people[name], subject=name, identified=True, **more)
        id = self.ledger.submit(made, actor="ada")
        self.ledger.decide(id, "accept", "no exception applies", actor="ada")
        return id

    def worker(self, **more: Any) -> Worker:
        from excise.desk.work import Worker

        given: dict[str, Any] = {"name": "w1", "make_run": self.trained, "idle": 0.01}
        return Worker(self.ledger, tell=self.said.append, **given | more)

    def settings(self, **more: Any) -> None:
        """Change the model's settings."""
        model = self.ledger.model("m")
        self.ledger.register_model(
            "m", model.source, model.weights_hash, actor="ada", settings={**model.settings, **more}
        )

    def state(self, id: str) -> str:
        return self.ledger.request(id).state


@pytest.fixture(scope="session")
def specimen_people(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Data], Path]:
    """Five people with a few questions for each of their facts, and a folder of others."""
    from excise.records import read
    from excise.specimen import dataset

    root = tmp_path_factory.mktemp("specimen-people")
    dataset.write(root / "whole", 5, 0)
    whole = read(root / "whole")
    rng = random.Random(0)
    people = {}
    for number, name in enumerate(whole.subjects("forget")):
        kept: list[Any] = []
        asked: dict[Any, int] = {}
        for record in whole.select(splits=["forget"], kinds=["image_memory", "text_memory"]):
            cell = (record.subject, record.kind, record.answer, record.use)
            asked[cell] = asked.get(cell, 0) + 1
            if record.subject == name and asked[cell] <= 2:
                kept.append(record)
        people[name] = _written(whole, kept, root / f"person-{number}")
    others = []
    for split, kind, count in (
        ("retain", "image_memory", 16),
        ("retain", "text_memory", 6),
        ("retain", "image_understanding", 10),
        ("unseen", "image_memory", 8),
        ("unseen", "image_understanding", 6),
    ):
        found: list[Any] = whole.select(splits=[split], kinds=[kind])  # type: ignore[list-item]
        others += rng.sample(found, count)
    _written(whole, others, root / "others")
    drawn = sorted((root / "whole" / "anchors").rglob("*.png"))
    (root / "others" / "anchors").mkdir()
    for path in rng.sample(drawn, 12):
        shutil.copy(path, root / "others" / "anchors" / path.name)
    shutil.rmtree(root / "whole")
    return people, root / "others"


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="session")
def signing_key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from excise.erasure.key_files import make_key

    path = tmp_path_factory.mktemp("key") / "key.pem"
    make_key(path)
    return path


@pytest.fixture(scope="session")
def new_desk(
    specimen_people: tuple[dict[str, Data], Path], trained: Trained, signing_key_file: Path
) -> Iterator[Callable[..., SpecimenDesk]]:
    """Makes a desk in a folder: `new_desk(folder, source=..., **settings)`."""
    from excise import specimen
    from excise.desk.ledger import Ledger
    from excise.vlm.weights_hash import hash_weights, weight_files

    patch = pytest.MonkeyPatch()
    patch.setenv("EXCISE_KEY", str(signing_key_file))
    opened: list[Ledger] = []

    def make(
        folder: Path, *, source: str | None = None, url: str | None = None, **settings: Any
    ) -> SpecimenDesk:
        people, others = specimen_people
        ledger = Ledger.init(
            url or f"sqlite:///{folder}/desk.db",
            folder=folder / "files",
            key_file=folder / "desk.key",
        )
        opened.append(ledger)
        (folder / "gate.yaml").write_text(GATE)
        base = source or str(specimen.checkpoint("original"))
        given = {
            "others": str(others),
            "options": OPTIONS,
            "gate": str(folder / "gate.yaml"),
            "only": ["plain"],
        }
        ledger.register_model(
            "m", base, hash_weights(weight_files(base)), actor="ada", settings=given | settings
        )
        trained.calls.clear()
        return SpecimenDesk(folder, ledger, people, trained)

    yield make
    for ledger in opened:
        ledger.close()
    patch.undo()


@pytest.fixture(scope="session")
def ready(new_desk: Callable[..., SpecimenDesk], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one step."""
    from excise import specimen
    from excise.methods.anchored import Anchored
    from excise.methods.forget import forget
    from excise.vlm.load import load
    from excise.weights.run import Run

    desk = new_desk(tmp_path_factory.mktemp("ready"))
    method = Anchored.model_validate(
        {"fit": {"rank": 1, "steps": 1, "lr": 1e-4, "batch": 3}, "strength": 1.0, "views": 0,
         "anchor_pictures": 0, "anchor_names": 1}
    )  # fmt: skip
    vlm = load(specimen.checkpoint("original"))
    out = desk.folder / "ready"
    forget(vlm, desk.people[desk.names[0]], method=method, out=out)
    return Run.load(out).folder


def lenient(
    new_desk: Callable[..., SpecimenDesk], folder: Path, url: str | None = None
) -> SpecimenDesk:
    """A desk whose audits are short and passed by anybody."""
    from excise.records import read, write_data

    desk = new_desk(folder, url=url)
    whole = read(Path(desk.ledger.model("m").settings["others"]))
    few = list(itertools.islice((r for r in whole.records if r.split == "retain"), 4))
    write_data(folder / "others", few, {r.image: whole.picture(r) for r in few if r.image})  # type: ignore[misc]
    (folder / "lenient.yaml").write_text(ANYBODY)
    desk.settings(others=str(folder / "others"), gate=str(folder / "lenient.yaml"))
    return desk


def _written(whole: Data, records: list[Any], folder: Path) -> Data:
    from excise.records import read, write_data

    pictures = {r.image: whole.picture(r) for r in records if r.image}
    write_data(folder, records, pictures)  # type: ignore[arg-type]
    return read(folder)


def _hash(data: Data, image: str) -> str:
    source = data.picture_source(image)
    content = source if isinstance(source, bytes) else source.read_bytes()
    return hashlib.sha256(content).hexdigest()
