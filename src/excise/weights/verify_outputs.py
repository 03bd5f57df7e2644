"""What two models say to the same probes: logits, and greedy answers.

The weights may all be right and the model still another one: a processor that was not carried, a
loader that renames a key into nothing, an adapter that is not active. So both are loaded the way a
user loads them and asked. Probes are drawn pictures and neutral questions, or records of the user's
own data; results name a probe by its number or record id, never by what was asked or said.

Cost: a forward pass and a short answer a probe and model; the models are in memory one at a time.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from excise.records.data import Data
from excise.records.record import Record
from excise.vlm.chat import Chat
from excise.vlm.generation import answer
from excise.vlm.load import VLM
from excise.weights.shards import as_bytes

POSITIONS = 16
"""Logits of so many positions at a prompt's end are compared."""
NEW_TOKENS = 24

_ABOUT_PICTURES = (
    "What can be seen in this picture?",
    "Which colours are in the picture?",
    "Is there a person in the picture?",
)
_WITHOUT = ("What is the capital of France?", "Who are you?")


@dataclass(frozen=True, eq=False)
class Probe:
    """A question, about a picture or not, and what it is called in results."""

    name: str
    picture: Image.Image | None
    question: str


@dataclass(frozen=True, eq=False)
class Said:
    """A model's side: logits (positions, vocabulary) and the greedy answer to each probe."""

    logits: tuple[Tensor, ...]
    answers: tuple[str, ...]


def drawn_probes(seed: int = 0) -> list[Probe]:
    """Pictures of shapes and of noise with neutral questions, and questions without a picture."""
    rng = random.Random(f"probes-{seed}")
    noise = Image.frombytes("RGB", (96, 96), rng.randbytes(96 * 96 * 3)).resize((224, 224))
    shapes = Image.new("RGB", (224, 224), _colour(rng))
    pen = ImageDraw.Draw(shapes)
    for _ in range(5):
        x, y, size = rng.randrange(160), rng.randrange(160), rng.randrange(20, 64)
        draw = rng.choice((pen.rectangle, pen.ellipse))
        draw((x, y, x + size, y + size), fill=_colour(rng))
    asked: list[tuple[Image.Image | None, str]] = [(None, text) for text in _WITHOUT]
    asked += [(picture, text) for picture in (shapes, noise) for text in _ABOUT_PICTURES]
    return [Probe(f"probe {i}", picture, text) for i, (picture, text) in enumerate(asked, 1)]


def probes_of(data: Data, limit: int = 16, seed: int = 0) -> list[Probe]:
    """Records of the data, drawn evenly from every split and kind.

    Raises:
        InputError: a picture cannot be read.
    """
    cells: dict[tuple[str, str], list[Record]] = {}
    for record in data.records:
        cells.setdefault((record.split, record.kind), []).append(record)
    rng = random.Random(f"probes-{seed}")
    shuffled = [rng.sample(cells[cell], len(cells[cell])) for cell in sorted(cells)]
    chosen: list[Record] = []
    while len(chosen) < limit and any(shuffled):
        chosen += [cell.pop() for cell in shuffled if cell][: limit - len(chosen)]
    return [Probe(record.id, data.picture(record), record.question) for record in chosen]


@torch.inference_mode()
def ask(vlm: VLM, probes: Sequence[Probe], *, answers: bool = True) -> Said:
    """Logits at the end of each prompt, made by the model's own processor, and short answers.

    Raises:
        InputError: the model cannot take a probe.
    """
    chat = Chat(vlm.processor, vlm.model)
    logits = tuple(_logits(vlm, chat, probe) for probe in probes)
    asked = [(probe.picture, probe.question) for probe in probes] if answers else []
    return Said(logits, tuple(answer(vlm, asked, max_new_tokens=NEW_TOKENS)))


def _logits(vlm: VLM, chat: Chat, probe: Probe) -> Tensor:
    processor: Any = vlm.processor
    model: Any = vlm.model
    text = chat.text(probe.question, picture=probe.picture is not None)
    pictures = {} if probe.picture is None else {"images": [probe.picture]}
    given = processor(
        text=[text], return_tensors="pt", add_special_tokens=chat.adds_bos(text), **pictures
    )
    inputs = {
        name: value.to(vlm.device, vlm.dtype if value.is_floating_point() else None)
        for name, value in given.items()
        if isinstance(value, Tensor)
    }
    out = model(**inputs, logits_to_keep=POSITIONS).logits[0, -POSITIONS:]
    return out.float().cpu()  # type: ignore[no-any-return]


def fingerprints(vlm: VLM) -> dict[str, str]:
    """SHA-256 of every weight and buffer as it is in memory, by its name in the model."""
    return {
        name: hashlib.sha256(as_bytes(tensor.detach().cpu())).hexdigest()
        for name, tensor in vlm.model.state_dict().items()
    }


@dataclass(frozen=True)
class Difference:
    """How far two models are apart on the same probes."""

    largest: float
    """Largest difference of two logits."""
    rms: float
    scale: float
    """Largest absolute logit of the reference."""
    first_differing: str | None
    """The first probe that is answered otherwise."""
    differing: int

    @classmethod
    def of(cls, reference: Said, other: Said, probes: Sequence[Probe]) -> Difference:
        pairs = list(zip(reference.logits, other.logits, strict=True))
        names = [
            probe.name
            for probe, one, two in zip(probes, reference.answers, other.answers, strict=False)
            if one != two
        ]
        same_form = all(one.shape == two.shape for one, two in pairs)
        gaps = [(one - two).double() for one, two in pairs] if same_form else []
        square = sum(float(gap.square().sum()) for gap in gaps)
        count = sum(gap.numel() for gap in gaps)
        return cls(
            largest=max((float(g.abs().max()) for g in gaps), default=float("inf")),
            rms=(square / count) ** 0.5 if count else float("inf"),
            scale=max(float(one.abs().max()) for one, _ in pairs),
            first_differing=names[0] if names else None,
            differing=len(names),
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "largest_logit_difference": self.largest,
            "rms_logit_difference": self.rms,
            "largest_logit": self.scale,
            "answers_differing": self.differing,
            "first_differing_answer": self.first_differing,
        }


def free_memory() -> int | None:
    """Bytes that this machine could give to a model now; None where the system does not say."""
    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _colour(rng: random.Random) -> tuple[int, int, int]:
    return rng.randrange(256), rng.randrange(256), rng.randrange(256)
