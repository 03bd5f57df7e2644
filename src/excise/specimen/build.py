"""Build the specimen's checkpoints from nothing: `python -m excise.specimen.build OUT`.

Three stages. First the network learns to see (faces, eyes, scenes; nobody known). From there it
goes two ways with the same settings and seeds: `original` meets all known people, `retrained`
everybody but those whom seed 0 forgets at 5 %. They learn the people by heart, then refine what is
slow to come, scenes and faces, while the rate falls to nothing. Hidden matrices are trained by
Muon, which learns rare facts in fewer steps than Adam here, everything else by AdamW.

Resumable: every `SAVE_EVERY` steps the state is written beside the result, and the same command
goes on from there with the same stream of rows.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from excise.records.writing import new_folder, write_json
from excise.specimen.architecture import build_model, build_processor
from excise.specimen.batches import Batcher
from excise.specimen.curriculum import Mix, Sample, stream
from excise.specimen.people import chosen, everybody

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
    1300, 16, Mix(fresh=0.25, scenes=0.35, pictured=0.35), 2e-3, 2e-3, seed=3, cooldown=0.5
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
    for step in range(start, stage.steps):
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
        if (step + 1) % 25 == 0:
            seconds = time.perf_counter() - began
            recent = sum(losses[-25:]) / 25
            print(f"{name} {step + 1}/{stage.steps} loss {recent:.3f} {seconds:.0f} s", flush=True)
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == stage.steps:
            state = {
                "model": model.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in used],
                "step": step + 1,
                "losses": losses,
                "seconds": time.perf_counter() - began,
            }
            torch.save(state, state_file.with_suffix(".part"))
            os.replace(state_file.with_suffix(".part"), state_file)
    return {"losses": losses, "seconds": round(time.perf_counter() - began)}


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
    stages = {"seeing": SEEING, f"{name}-learning": LEARNING, f"{name}-refining": REFINING}
    history = {}
    for title, stage in stages.items():
        rows = stream(() if title == "seeing" else people, stage.mix, stage.seed)
        history[title] = train(model, batcher, rows, stage, state / f"{title}.pt", title)
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
    parser = argparse.ArgumentParser(prog="python -m excise.specimen.build", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", choices=("original", "retrained"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads, 0 for all")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    for name in [arguments.only] if arguments.only else ["original", "retrained"]:
        build(arguments.out, name, arguments.device)


if __name__ == "__main__":
    main()
