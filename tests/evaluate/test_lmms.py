"""lmms-eval: its results files in their exact form, and how it is called."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from excise.cli import boundary
from excise.evaluate import lmms, lmms_results
from excise.records import InputError

POPE = {
    "alias": "pope",
    "pope_accuracy,none": 0.875,
    "pope_accuracy_stderr,none": "N/A",
    "pope_accuracy_stderr_clt,none": 0.003,
    "pope_accuracy_stderr_clustered,none": "N/A",
    "pope_f1_score,none": 0.86,
    "pope_f1_score_stderr,none": "N/A",
}
GQA = {
    "alias": "gqa",
    "exact_match,none": 0.6,
    "exact_match_stderr,none": 0.005,
    "exact_match_stderr_clt,none": 0.0050001,
    "exact_match_stderr_clustered,none": "N/A",
}


def document(
    results: dict[str, Any], *, date: str = "20260925_122419", **more: Any
) -> dict[str, Any]:
    """A results file as lmms-eval 0.7 writes it, less what nobody reads."""
    return {
        "results": results,
        "group_subtasks": {task: [] for task in results},
        "configs": {task: {"task": task, "output_type": "generate_until"} for task in results},
        "versions": dict.fromkeys(results, "Yaml"),
        "n-shot": dict.fromkeys(results, 0),
        "higher_is_better": {task: {} for task in results},
        "n-samples": {task: {"original": 9000, "effective": 9000} for task in results},
        "config": {
            "model": "llava_hf",
            "model_args": "pretrained=/somewhere/merged",
            "batch_size": "1",
            "limit": None,
            "random_seed": 0,
        },
        "git_hash": "v0.7.3",
        "lmms_eval_version": "0.7.3",
        "date": date,
        "task_hashes": {},
        "model_source": "llava_hf",
        "model_name": "/somewhere/merged",
        "total_evaluation_time_seconds": "3860.7",
    }


def written(path: Path, content: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def test_figures_keep_their_names_and_get_an_interval_from_the_standard_error() -> None:
    found = lmms_results.figures(document({"pope": POPE, "gqa": GQA}))
    assert set(found) == {"pope.pope_accuracy", "pope.pope_f1_score", "gqa.exact_match"}
    assert found["pope.pope_accuracy"] == {"mean": 0.875, "low": None, "high": None, "n": 9000}
    assert found["gqa.exact_match"]["low"] == pytest.approx(0.6 - 1.96 * 0.005)


def test_what_is_no_figure_is_left_out_and_filters_are_told_apart() -> None:
    results = {
        "coco2017_cap_val": {
            "alias": "x",
            "coco_CIDEr,none": 1.13,
            "coco_Bleu_4,none": float("nan"),
        },
        "mmbench_en_dev_static": {"gpt_eval_score,none": 67.2, "submission,none": None},
        "ai2d": {"exact_match,flexible-extract": 0.7},
        "refcoco_bbox_rec_val": {"refcoco_ACC@0.5,none": 0.81, " ,none": ""},
    }
    assert set(lmms_results.figures(document(results))) == {
        "coco2017_cap_val.coco_CIDEr",
        "mmbench_en_dev_static.gpt_eval_score",
        "ai2d.exact_match,flexible-extract",
        "refcoco_bbox_rec_val.refcoco_ACC@0.5",
    }


def test_of_several_files_the_newest_of_each_task_counts(tmp_path: Path) -> None:
    older = {**POPE, "pope_accuracy,none": 0.1, "pope_recall,none": 0.2}
    written(tmp_path / "b/20260101_000000_results.json", document({"pope": POPE}, date="20260201"))
    written(tmp_path / "a/20260101_000000_results.json", document({"pope": older}, date="20260101"))
    written(tmp_path / "a/20260301_000000_results.json", document({"gqa": GQA}, date="20260301"))
    found = lmms_results.read_results(tmp_path)
    assert found["general"]["pope.pope_accuracy"]["mean"] == 0.875
    assert "pope.pope_recall" not in found["general"]
    assert "gqa.exact_match" in found["general"]
    assert found["lmms_eval"] == {"version": "0.7.3", "limit": None}


@pytest.mark.parametrize("content", ["[]", "{", '{"results": []}', '{"results": {"a": 1}}'])
def test_a_file_of_something_else_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "x_results.json").write_text(content)
    with pytest.raises(InputError, match="x_results.json: .*lmms-eval"):
        lmms_results.read_results(tmp_path)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    written(tmp_path / "merged/config.json", {"model_type": "llava"})
    return tmp_path / "merged"


def test_a_missing_package_is_one_line_that_says_how_to_install_it(
    export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if lmms.find_spec("lmms_eval") is not None:
        pytest.skip("lmms-eval is installed here")
    with pytest.raises(InputError, match=r'pip install "excise\[lmms\]"'):
        lmms.run(export)


def test_sets_have_short_names_and_a_misspelt_one_is_told() -> None:
    found = lmms.tasks_of(["pope_adv", "coco", "vqav2_val"])
    assert found == ["pope_adv", "coco2017_cap_val", "vqav2_val"]
    with pytest.raises(InputError, match='did you mean "refcoco"'):
        lmms.tasks_of(["refcocco"])


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("adapter_config.json", {}, "expected an export made with --as merged"),
        ("config.json", {"model_type": "mystery"}, 'model_type "mystery".*--family'),
        ("other.json", {}, "no config.json"),
    ],
)
def test_what_is_no_merged_export_is_told(
    tmp_path: Path, file: str, content: dict[str, Any], told: str
) -> None:
    written(tmp_path / "folder" / file, content)
    with pytest.raises(InputError, match=told):
        lmms.run(tmp_path / "folder")


STAND_IN = """
import json, os, sys
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
print("lmms-eval says hello")
if os.environ.get("STAND_IN") == "fails":
    sys.exit(0)  # as lmms-eval does when a task raises
folder = os.path.join(arguments["--output_path"], "merged")
os.makedirs(folder)
content = json.loads(os.environ["STAND_IN"])
content["config"]["asked"] = arguments
with open(os.path.join(folder, "20260925_122419_results.json"), "w") as file:
    json.dump(content, file)
with open(os.environ["STAND_IN_SEEN"], "w") as file:
    json.dump(arguments, file)
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of lmms-eval's name that takes its options and leaves a file in its form."""
    package = tmp_path / "packages/lmms_eval"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.setenv("STAND_IN", json.dumps(document({"pope": POPE, "gqa": GQA})))
    monkeypatch.setenv("STAND_IN_SEEN", str(tmp_path / "seen.json"))
    return tmp_path / "seen.json"


def test_it_runs_on_the_export_and_its_results_join_the_metrics(
    export: Path, stand_in: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = written(tmp_path / "scores.json", {"schema": "excise.metrics/1", "splits": {"a": 1}})
    code = boundary.main(
        ["lmms", str(export), "--sets", "pope,gqa", "--limit", "8", "--out", str(out)]
    )
    assert code == 0, capsys.readouterr().err
    asked = json.loads(stand_in.read_text())
    assert asked["--model"] == "llava_hf"
    assert asked["--model_args"] == f"pretrained={export}"
    assert (asked["--tasks"], asked["--limit"], asked["--batch_size"]) == ("pope,gqa", "8", "1")
    content = json.loads(out.read_text())
    assert content["splits"] == {"a": 1}
    assert content["general"]["gqa.exact_match"]["mean"] == 0.6
    assert "/somewhere" not in out.read_text()
    assert "0.600 [0.590, 0.610]" in capsys.readouterr().out


def test_no_results_is_one_line(
    export: Path, stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN", "fails")
    with pytest.raises(InputError, match=r"left no results \(exit code 0\)"):
        lmms.run(export, ["pope"])
    assert "lmms_eval" not in sys.modules
