"""What docs/evidence.md says to type verifies an evidence without this package."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.erasure.a_small_audit import KEY, small

from excise.erasure.folder_hash import folder_hash
from excise.erasure.signing import key_id
from excise.evaluate.gate import Gate

DOC = (Path(__file__).parents[2] / "docs" / "evidence.md").read_text("utf-8")


def block(language: str, inside: str) -> str:
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", DOC, re.DOTALL)
    return next(text for text in blocks if inside in text)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not here")
@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not here")
def test_python_and_openssl_are_enough(tmp_path: Path) -> None:
    made = small(tmp_path)
    script = block("sh", "openssl").replace("python3", sys.executable)

    def typed() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-e", "-c", script], cwd=made.folder, capture_output=True, text=True
        )

    good = typed()
    assert good.returncode == 0 and "Signature Verified Successfully" in good.stdout
    assert key_id(KEY.public_key()) in good.stdout
    raw = made.evidence.read_bytes()
    made.evidence.write_bytes(raw.replace(b'"passed":true', b'"passed":null'))
    assert typed().returncode != 0
    made.evidence.write_bytes(raw.replace(b'"seed":0', b'"seed": 0'))
    assert "not in canonical form" in typed().stderr


def test_the_hash_of_a_folder_can_be_computed_by_hand(tmp_path: Path) -> None:
    made = small(tmp_path)
    (made.run / "ünïcode.txt").write_text("x")
    said = subprocess.run(
        [sys.executable, "-c", block("python", "rglob"), str(made.run)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout.strip() == folder_hash(made.run)


def test_the_gate_in_the_text_is_part_of_the_default_gate() -> None:
    shown = Gate.parse(block("yaml", "leak.any"), "docs")
    default = {(x.figure, x.side, x.threshold, x.bound, x.needed) for x in Gate.default().lines}
    assert {(x.figure, x.side, x.threshold, x.bound, x.needed) for x in shown.lines} <= default


def test_every_part_of_the_body_is_explained(tmp_path: Path) -> None:
    body = json.loads(small(tmp_path).evidence.read_text())["body"]
    for key in body.keys() - {"schema"}:
        assert f"`{key}`" in DOC, key
