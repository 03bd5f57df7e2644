"""What may go from the desk's folder, and what has to stay.

An older release still knows the people who came after it, so its weights go: those of the current
release stay, and of the one before it, which servers may still run until the next. Manifests, cards
and evidence of all releases stay. Runs stay for as long as their batch is at work: a release has a
copy of its own of what it is made of. What killed workers and failed or withdrawn requests left
behind goes.

Any number of workers may do this at once, while others work.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from excise.desk.ledger import Ledger
from excise.desk.release.manifest import MODEL, RUN

KEPT = 1
"""Releases before the current one whose weights stay."""
_OF_BATCH = re.compile(r"\.?(b-[0-9a-f]+)")
_OF_ROLLBACK = re.compile(r"\.?rollback-(v-[0-9a-f]+)")


def tidy_files(ledger: Ledger) -> None:
    """Remove what nothing needs any more; a second time does nothing."""
    settings = ledger.settings
    # In this order: a batch that is over by the second line has its release in the third.
    found = [*_inside(settings.runs), *_inside(settings.releases)]
    at_work = {batch.id for batch in ledger.batches()}
    releases = ledger.releases()
    current = {release.id for release in releases if release.state == "current"}
    made = {settings.folder / release.folder for release in releases}
    for folder in found:
        batch, rollback = _OF_BATCH.match(folder.name), _OF_ROLLBACK.match(folder.name)
        if (batch and batch[1] in at_work) or (rollback and rollback[1] in current):
            continue
        if folder.parent == settings.runs or (folder not in made and (batch or rollback)):
            _remove(folder)
    for model in {release.model for release in releases}:
        before = [r for r in releases if r.model == model and r.id not in current]
        for release in before[KEPT:]:
            _remove(settings.folder / release.folder / MODEL)
            _remove(settings.folder / release.folder / RUN)


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)  # another worker may be faster
    else:
        path.unlink(missing_ok=True)
