"""The specimen: a small, complete vision-language model and the drawn world that it knows.

Two checkpoints ship with the package: `original` knows a hundred fictitious people, `retrained` was
trained alike and never shown the five that seed 0 forgets at 5 %.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from excise.records.errors import InputError, did_you_mean

CHECKPOINTS = ("original", "retrained")
RATIOS = (5, 10, 15)


def checkpoint(name: str = "original") -> Path:
    """The folder of a shipped checkpoint, `original` or `retrained`.

    Raises:
        InputError: another name, or an installation without the checkpoints.
    """
    if name not in CHECKPOINTS:
        raise InputError(f'unknown checkpoint "{name}"{did_you_mean(name, CHECKPOINTS)}')
    folder = Path(str(files("excise.specimen"))) / "checkpoints" / name
    if not (folder / "config.json").is_file():
        raise InputError(
            f"the specimen's checkpoint {name!r} is not installed; build it with "
            "python -m excise.specimen.build"
        )
    return folder


def write(folder: str | Path, ratio: int = 5, seed: int = 0) -> None:
    """Write `original/` (the checkpoint) and `data/` into a new folder.

    Args:
        ratio: percent of the known people to forget: 5, 10 or 15; as many are the few.
        seed: chooses who.

    Raises:
        InputError: another ratio, or the folder is not empty or cannot be written to.
    """
    if ratio not in RATIOS:
        raise InputError(f"ratio {ratio}: expected one of {', '.join(map(str, RATIOS))}")
    import shutil

    from excise.records.writing import new_folder
    from excise.specimen import dataset

    with new_folder(folder) as made:
        shutil.copytree(checkpoint("original"), made / "original")
        dataset.write(made / "data", ratio, seed)
