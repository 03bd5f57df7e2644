"""What goes with the weights: the files that a loader and a processor need, and a model card.

Only files of known names are carried, so that training logs, data and other people's notes that lie
in a model folder stay where they are; what was left behind is told. The card is written anew and
holds hashes and names of methods, and no path, subject, question or answer.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download

from excise.records.errors import InputError
from excise.records.writing import write_text

CARRIED = (
    "config.json",
    "generation_config.json",
    "*processor_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.tiktoken",
    "spiece.model",
    "sentencepiece*.model",
    "chat_template.*",
    "*_template.jinja",
    "additional_chat_templates/*.jinja",
    "*.py",  # the code of a model that brings its own
    "LICENSE*",
    "NOTICE*",
    "USE_POLICY*",
)
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "README.md", ".*")


def side_folder(source: str, weights: Path) -> Path:
    """Where the files beside the weights are: the folder, or the hub's snapshot, made complete."""
    if Path(source).is_dir():
        return Path(source)
    try:
        return Path(snapshot_download(source, allow_patterns=list(CARRIED)))
    except Exception:  # offline: what loading has fetched is in the snapshot
        return weights


def carry(folder: Path, out: Path) -> list[str]:
    """Copy the known files; returns the names of those that were left behind, sorted."""
    left: list[str] = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or any(fnmatch(path.name, pattern) for pattern in _WEIGHTS):
            continue
        if any(fnmatch(name, p) and name.count("/") == p.count("/") for p in CARRIED):
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, out / name)
        elif not any(part.startswith(".") for part in name.split("/")):
            left.append(name)
    if not (out / "config.json").is_file():
        raise InputError(f"{folder}: config.json is missing, expected a Hugging Face model folder")
    return left


def write_card(out: Path, facts: Mapping[str, Any]) -> None:
    """Write README.md: the front matter that model hubs read, and what was done to the base."""
    kind, base = facts["kind"], facts["base"]["id"]
    hub_id = re.fullmatch(r"[\w.-]+/[\w.-]+", base)
    front = [f"base_model: {base}"] if hub_id else []
    front += [f"base_model_relation: {'adapter' if kind == 'lora' else 'finetune'}"] * bool(hub_id)
    front += [f"library_name: {'peft' if kind == 'lora' else 'transformers'}"]
    front += ["pipeline_tag: image-text-to-text", "tags:", "- machine-unlearning", "- excise"]
    what = (
        f"`{base}` with chosen memories removed."
        if kind == "merged"
        else f"An adapter that removes chosen memories from `{base}`; served without it, or with "
        "it unloaded, the base remembers."
    )
    lines = [
        "---",
        *front,
        "---",
        "",
        f"# {base}, excised",
        "",
        what,
        "",
        "| | |",
        "|---|---|",
        f"| base | `{base}` |",
        f"| weights of the base | sha256 `{facts['base']['weights_hash']}` |",
        f"| run | `{facts['run']}` |",
        f"| method | {facts['method']} |",
        f"| made with | excise {facts['versions']['excise']} |",
        "",
        "`export.json` has the hash of every file and what the export was verified against.",
    ]
    write_text(out / "README.md", "\n".join(lines) + "\n")
