"""Build the specimen's checkpoints from nothing: `python -m excise.specimen.build OUT`.

Six stages. First the network learns to see (faces, eyes, scenes; nobody known). From there it
goes two ways with the same settings and seeds: `original` meets all known people, `retrained`
everybody but those whom seed 0 forgets at 5 %. They learn the people by heart, then refine what is
slow to come, scenes and faces. Position embeddings that start as small as SigLIP's drown in
patches of this size, and nothing gets to know where it is; so half way each patch's place is
written onto them in sines, and the network learns places, eyes and boxes while the rate falls to
nothing. Last it learns to repeat and to finish refusals, whose words it has not met, so that an
adapter can be taught to say them. Hidden matrices are trained by Muon, which learns rare facts in
fewer steps than Adam here, everything else by AdamW.

Resumable: every `SAVE_EVERY` steps the state is written beside the result, and the same command
goes on from there with the same stream of rows.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from excise.records.writing import new_folder, write_json
from excise.specimen import CHECKPOINTS
from excise.specimen.architecture import build_model, build_processor
from excise.specimen.batches import Batcher
from excise.specimen.curriculum import Mix, Sample, stream
from excise.specimen.people import chosen, everybody
from excise.specimen.provenance import write_provenance

SAVE_EVERY = 100


@dataclass(frozen=True)
class Stage:
    """How long one stage trains, on what, and how fast."""

    steps: int
    rows: int
    mix: Mix
    muon_rate: float
    adam_rate: float
    seed: int
    warmup: int = 50
    cooldown: float = 0.25  # share of the steps over which the rates fall to 0
    stop: int | None = None  # end here, before the rates have fallen all the way

    @property
    def end(self) -> int:
        return self.stop or self.steps


SEEING = Stage(
    400,
    16,
    Mix(fresh=0.75, scenes=0.25, pictured=0.0, small_things=True),
    2e-3,
    2e-3,
    seed=1,
    cooldown=0.0,
)
LEARNING = Stage(
    600,
    16,
    Mix(fresh=0.20, scenes=0.15, pictured=0.45, small_things=True),
    2e-3,
    2e-3,
    seed=2,
    cooldown=0.0,
)
REFINING = Stage(
    1300,
    16,
    Mix(fresh=0.25, scenes=0.35, pictured=0.35),
    2e-3,
    2e-3,
    seed=3,
    cooldown=0.5,
    stop=900,
)
PLACING = Stage(
    900,
    16,
    Mix(fresh=0.26, scenes=0.35, pictured=0.36, eyes=0.5),
    2e-3,
    2e-3,
    seed=4,
    cooldown=0.6,
    stop=700,
)
POLISHING = Stage(
    600,
    16,
    Mix(fresh=0.27, scenes=0.42, pictured=0.29, eyes=0.5),
    1.2e-3,
    1.2e-3,
    seed=5,
    cooldown=0.85,
)
SPEAKING = Stage(
    800,
    16,
    Mix(fresh=0.32, scenes=0.36, pictured=0.28, eyes=0.5, spoken=0.25),
    1.2e-3,
    1.5e-3,
    seed=6,
    warmup=30,
    cooldown=0.9,
)


def optimizers(model: torch.nn.Module, stage: Stage) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices, AdamW for embeddings, patches, norms and biases."""
    hidden: list[torch.nn.Parameter] = []
    rest: list[torch.nn.Parameter] = []
    for name, weight in model.named_parameters():
        matrix = weight.ndim == 2 and "embed" not in name and "lm_head" not in name
        (hidden if matrix else rest).append(weight)
    return [
        torch.optim.Muon(
            hidden, lr=stage.muon_rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(rest, lr=stage.adam_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate(step: int, stage: Stage) -> float:
    """The share of the full rate at `step`: warm up, stay, cool down."""
    rising = min(1.0, (step + 1) / stage.warmup)
    falling = (stage.steps - step) / max(1, stage.cooldown * stage.steps)
    return min(rising, max(falling, 0.0), 1.0) if stage.cooldown else rising


def train(
    model: Any,
    batcher: Batcher,
    samples: Iterator[Sample],
    stage: Stage,
    state_file: Path,
    name: str,
) -> dict[str, Any]:
    """Train in place; returns losses and seconds. Goes on from `state_file` where there is one."""
    device = next(model.parameters()).device
    used = optimizers(model, stage)
    start, losses, seconds = 0, [], 0.0
    if state_file.exists():
        state = torch.load(state_file, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(used, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        start, losses, seconds = state["step"], state["losses"], state["seconds"]
    samples = itertools.islice(samples, start * stage.rows, None)
    model.train()
    began = time.perf_counter() - seconds
    # A bar on a terminal, a line a minute in a log.
    pace = 1 if sys.stderr.isatty() else 60
    bar = tqdm(total=stage.end, initial=start, desc=name, mininterval=pace, unit="step")
    for step in range(start, stage.end):
        for optimizer in used:
            for group in optimizer.param_groups:
                base = (
                    stage.muon_rate if isinstance(optimizer, torch.optim.Muon) else stage.adam_rate
                )
                group["lr"] = base * rate(step, stage)
        batch = batcher(list(itertools.islice(samples, stage.rows)))
        labels = batch.pop("labels")[:, 1:].to(device)
        batch = {key: value.to(device) for key, value in batch.items()}
        with torch.autocast(device.type, torch.bfloat16):
            hidden = model.model(**batch).last_hidden_state[:, :-1]
            logits = model.lm_head(hidden[labels != -100])
        loss = cross_entropy(logits.float(), labels[labels != -100])
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in used:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        losses.append(round(loss.item(), 4))
        bar.update(1)
        bar.set_postfix(loss=f"{sum(losses[-25:]) / len(losses[-25:]):.3f}", refresh=False)
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == stage.end:
            state = {
                "model": model.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in used],
                "step": step + 1,
                "losses": losses,
                "seconds": time.perf_counter() - began,
            }
            torch.save(state, state_file.with_suffix(".part"))
            os.replace(state_file.with_suffix(".part"), state_file)
    bar.close()
    return {"losses": losses, "seconds": round(time.perf_counter() - began)}


@torch.no_grad()
def write_places(model: Any) -> None:
    """Add each patch's row and column, as sines and cosines of 2 in size, to its embedding."""
    weight = model.model.vision_tower.embeddings.position_embedding.weight  # (patches, width)
    patches, width = weight.shape
    side = round(patches**0.5)
    frequency = torch.logspace(0, -1, width // 4, device=weight.device)  # radians a patch
    place = torch.arange(patches, device=weight.device)
    angles = [axis[:, None] * frequency for axis in (place // side, place % side)]
    waves = [wave(angle) for angle in angles for wave in (torch.sin, torch.cos)]
    weight += 2 * torch.cat(waves, dim=1)


def build(out: Path, name: str, device: str) -> None:
    """Train one checkpoint, `original` or `retrained`, into `out/name`."""
    state = out / "state"
    state.mkdir(parents=True, exist_ok=True)
    processor = build_processor(seed=0)
    batcher = Batcher(processor)
    model: Any = build_model(processor, seed=0)
    model.to(device)
    known, _ = everybody()
    left_out = {person.id for person in chosen(5, 0)[0]} if name == "retrained" else set()
    people = [person for person in known if person.id not in left_out]
    stages = {
        "seeing": SEEING,
        f"{name}-learning": LEARNING,
        f"{name}-refining": REFINING,
        f"{name}-placing": PLACING,
        f"{name}-polishing": POLISHING,
        f"{name}-speaking": SPEAKING,
    }
    history = {}
    for title, stage in stages.items():
        if stage is PLACING:
            write_places(model)  # a state that is resumed from brings its own
        rows = stream(() if title == "seeing" else people, stage.mix, stage.seed)
        history[title] = train(model, batcher, rows, stage, state / f"{title}.pt", title)
    if (out / name).is_dir():
        shutil.rmtree(out / name)  # saved before; the states are the same
    with new_folder(out / name) as made:
        model.to("cpu", torch.bfloat16).save_pretrained(made)
        processor.save_pretrained(made)
    write_json(
        out / f"{name}.json",
        {
            "stages": {title: asdict(stage) for title, stage in stages.items()},
            "loss": {title: sum(h["losses"][-50:]) / 50 for title, h in history.items()},
            "seconds": {title: h["seconds"] for title, h in history.items()},
        },
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m excise.specimen.build",
        description="Build the specimen's checkpoints; goes on where it was interrupted.",
    )
    parser.add_argument("out", type=Path, help="gets original/, retrained/ and provenance.json")
    parser.add_argument("--only", choices=CHECKPOINTS, help="build one of the two, and no more")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 for all")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    for name in CHECKPOINTS if given.only is None else (given.only,):
        build(given.out, name, given.device)
    if given.only is None:
        write_provenance(given.out, CHECKPOINTS)


if __name__ == "__main__":
    main()
