"""What is kept of a request so that it can be asked about again: questions, and hashes of answers.

The forget data are shredded when the evidence is signed, but every later batch has to ask about all
earlier requests again, a served model has to be checked, and a new base needs the request to be
carried out anew. So the questions with their pictures are sealed apart, under a key of their own,
and of each answer only a salted hash of its normalised words: enough to know it when a model says
it. Whoever unlocks the probes can try answers against it, and would find a year or a town that way;
that is why they lie in the vault. What a new base still tells comes from that model's own mouth
(`told`).

An answer is recognised wherever it stands in what the model says: every run of as many words is
hashed. Cost: microseconds a question.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import secrets
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from excise.evaluate.text import normalise
from excise.methods.material import PRIVATE
from excise.records.data import Data
from excise.records.pictures import decode_picture
from excise.records.record import Kind, Record, Use
from excise.records.writing import write_text
from excise.vlm.generation import answer

if TYPE_CHECKING:
    from PIL import Image

    from excise.desk.ledger import Ledger
    from excise.vlm.load import VLM

ASKED = 24
"""Probes of one request that a later audit asks: one a fact and door first."""
FILE = "probes.jsonl"


@dataclass(frozen=True)
class Probe:
    """A question about a picture or none; `digest` is the keyed hash of its answer's words.

    `fact` tells probes of one fact and door from others, and nothing else.
    """

    question: str
    image: str | None
    kind: Kind
    use: Use | None
    fact: int
    salt: str
    words: int
    digest: str

    def found_in(self, said: str) -> str | None:
        """The true answer, as the model said it; None if it did not."""
        spoken = normalise(said).split()
        for start in range(max(1, len(spoken) - self.words + 1)):
            window = spoken[start : start + self.words]
            if hmac.compare_digest(_digest(window, self.salt), self.digest):
                return said if len(window) == len(spoken) else " ".join(window)
        return None


def write_probes(data: Data, folder: Path) -> int:
    """Write the probes of a request's forget set into an empty folder; how many."""
    facts: dict[tuple[str, str], int] = {}
    pictures: dict[str, str] = {}
    lines = []
    for record in data.select(splits=["forget"], kinds=PRIVATE):
        image = record.image
        if image is not None and image not in pictures:
            pictures[image] = f"{len(pictures):06d}{Path(image).suffix.lower()}"
            _copy(data, image, folder / pictures[image])
        true = normalise(record.answer)
        salt = secrets.token_hex(16)
        words = true.split()
        probe = Probe(
            question=record.question,
            image=None if image is None else pictures[image],
            kind=record.kind,
            use=record.use,
            fact=facts.setdefault((record.kind, true), len(facts)),
            salt=salt,
            words=len(words),
            digest=_digest(words, salt),
        )
        lines.append(json.dumps(asdict(probe), ensure_ascii=False) + "\n")
    write_text(folder / FILE, "".join(lines))
    return len(lines)


def read_probes(folder: Path) -> list[Probe]:
    """The probes of an unlocked folder."""
    text = (folder / FILE).read_text(encoding="utf-8")
    return [Probe(**json.loads(line)) for line in text.splitlines()]


def askable(ledger: Ledger, requests: Iterable[str]) -> list[str]:
    """Those of the requests whose probes are in the vault; a withdrawn one's are gone."""
    return [id for id in requests if ledger.request(id).sealed.get("probes") == "sealed"]


def sample(probes: Sequence[Probe], seed: int = 0) -> list[Probe]:
    """At most `ASKED`: one of every fact and door first, wordings that nothing was trained on."""
    order = random.Random(f"probes-{seed}").sample(list(probes), len(probes))
    order.sort(key=lambda probe: probe.use == "fit")
    first: dict[int, Probe] = {}
    for probe in order:
        first.setdefault(probe.fact, probe)
    rest = [probe for probe in order if first[probe.fact] is not probe]
    return [*first.values(), *rest][:ASKED]


def answers(vlm: VLM, folder: Path, probes: Sequence[Probe]) -> list[str | None]:
    """For each probe the true answer if the model, as it is now, says it."""
    said = spoken(vlm, folder, probes)
    return [probe.found_in(text) for probe, text in zip(probes, said, strict=True)]


def spoken(vlm: VLM, folder: Path, probes: Sequence[Probe]) -> list[str]:
    """What the model says to each."""
    shown: dict[str | None, Image.Image | None] = {None: None}
    for probe in probes:
        if probe.image not in shown and probe.image is not None:
            shown[probe.image] = decode_picture(folder / probe.image)
    return answer(vlm, [(shown[probe.image], probe.question) for probe in probes])


def told(vlm: VLM, folder: Path, subject: str) -> list[Record]:
    """Forget records of what a model still tells when it is asked the probes, in its own words."""
    probes = read_probes(folder)
    return [
        Record(
            id=f"probe-{number:04d}",
            subject=subject,
            split="forget",
            kind=probe.kind,
            image=probe.image,
            question=probe.question,
            answer=said,
            use=probe.use,
        )
        for number, (probe, said) in enumerate(
            zip(probes, answers(vlm, folder, probes), strict=True)
        )
        if said is not None
    ]


def _copy(data: Data, image: str, place: Path) -> None:
    source = data.picture_source(image)
    if isinstance(source, bytes):
        place.write_bytes(source)
    else:
        shutil.copyfile(source, place)


def _digest(words: Sequence[str], salt: str) -> str:
    text = " ".join(words)
    return hmac.new(bytes.fromhex(salt), text.encode(), hashlib.sha256).hexdigest()
