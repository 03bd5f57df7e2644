"""Progress lines, tables, and the files that a command checks before the work."""

from __future__ import annotations

from pathlib import Path

import pytest

from excise.cli.files import check_writable
from excise.cli.progress import PlainLines
from excise.cli.tables import show_scores
from excise.records.errors import InputError


def score(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 0.1, "high": mean + 0.1, "n": 40}


METRICS = {
    "splits": {
        "forget": {"image_memory": {"rouge_l": score(0.2), "exact": score(0.3)}},
        "retain": {"image_memory": {"rouge_l": score(0.8)}, "text_memory": {}},
    },
    "overall": {"memory": score(0.6)},
}


def test_a_log_gets_a_line_a_tenth_and_never_more() -> None:
    lines: list[str] = []
    plain = PlainLines(lines.append)
    for done in range(1001):
        plain.report("forgetting", done, 1000)
    plain.report("anchor", 0, 3)
    assert len(lines) == 12
    assert lines[0].startswith("forgetting: 0/1000")
    assert lines[10].startswith("forgetting: 1000/1000")
    assert lines[11].startswith("anchor: 0/3")


def test_work_of_unknown_or_no_length_does_not_divide_by_zero() -> None:
    lines: list[str] = []
    PlainLines(lines.append).report("nothing to do", 0, 0)
    assert len(lines) == 1


def test_scores_show_mean_and_interval_and_skip_empty_groups(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_scores(METRICS)
    out = capsys.readouterr().out
    assert "0.20 [0.10, 0.30]" in out
    assert "text memory" not in out
    assert "overall: memory 0.60 [0.50, 0.70]" in out


def test_an_output_that_cannot_be_written_is_found_before_the_work(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "deep" / "scores.json")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="is a folder"):
        check_writable(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file is a file, expected a folder"):
        check_writable(tmp_path / "file" / "scores.json")


def test_an_output_without_permission_is_found_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write anywhere
    with pytest.raises(InputError, match="no permission to write"):
        check_writable(tmp_path / "scores.json")
