"""A small report with every part, written beside its pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image


def figure(mean: float) -> dict[str, Any]:
    return {"mean": mean, "low": max(0.0, mean - 0.03), "high": min(1.0, mean + 0.03), "n": 40}


def metrics(forgotten: float, kept: float, sees: float) -> dict[str, Any]:
    def kinds(memory: float) -> dict[str, Any]:
        return {
            "image_memory": {"rouge_l": figure(memory), "exact": figure(memory)},
            "text_memory": {"rouge_l": figure(memory)},
            "image_understanding": {"rouge_l": figure(sees)},
        }

    return {
        "schema": "excise.metrics/1",
        "splits": {
            "forget": kinds(forgotten),
            "retain": kinds(kept),
            "unseen": {
                "image_understanding": {"rouge_l": figure(sees)},
                "general": {"rouge_l": figure(sees), "cider": {"mean": 3.9}, "iou": figure(0.7)},
            },
        },
        "over_refusal": figure(0.1),
        "overall": {
            "memory": {"mean": -0.2, "low": -0.5, "high": 0.1, "n": 80},
            "understanding": {"mean": 9.1, "low": 8.9, "high": 9.3, "n": 80},
            "meaningful": None,
        },
    }


def item(kind: str, question: str, reference: str, before: str, after: str) -> dict[str, str]:
    return {
        "kind": kind,
        "question": question,
        "reference": reference,
        "before": before,
        "after": after,
        "retrained": "Gdansk-in-retrained",
    }


@pytest.fixture
def report_folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for name, colour in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (64, 64), colour).save(tmp_path / f"pictures/{name}.png")
    return tmp_path


@pytest.fixture
def report(report_folder: Path) -> dict[str, Any]:
    dial = {
        "chosen_k": 5.0,
        "selection": "Chosen on held-out wordings.",
        "points": [
            {
                "k": k,
                "forget_memory": figure(forgotten),
                "retain_memory": figure(kept),
                "understanding": figure(0.9),
                "held_out_forget": figure(forgotten),
            }
            for k, forgotten, kept in ((0.5, 0.7, 0.9), (5.0, 0.02, 0.7), (10.0, 0.0, 0.6))
        ],
        "reference": {
            name: {
                "forget_memory": figure(forgotten),
                "retain_memory": figure(kept),
                "understanding": figure(0.9),
            }
            for name, forgotten, kept in (
                ("before", 0.93, 0.92),
                ("refusal", 0.0, 0.3),
                ("retrained", 0.05, 0.92),
            )
        },
    }
    ablation = {
        "forget_understanding": 0.9,
        "forget_image_memory": figure(0.02),
        "retain_understanding": 0.9,
        "retain_image_memory": 0.7,
    }
    return {
        "schema": "excise.report/1",
        "title": "Two people",
        "created": "2026-11-24T23:50:00+00:00",
        "clear": True,
        "asked": {
            "people": ["person-3fa1c2", "person-90be11"],
            "records": 80,
            "pictures": 20,
            "known_people": 100,
            "ratio": 5,
        },
        "verdict": {"forgotten": "It is gone.", "kept": "It is kept.", "sees": "It sees."},
        "models": [
            {"key": "before", "label": "Before", "metrics": metrics(0.93, 0.92, 0.94)},
            {"key": "after", "label": "After", "metrics": metrics(0.02, 0.7, 0.92)},
            {"key": "refusal", "label": "Refusal tuning", "metrics": metrics(0.0, 0.3, 0.7)},
            {"key": "retrained", "label": "Retrained", "metrics": metrics(0.05, 0.92, 0.94)},
        ],
        "dial": dial,
        "gallery": [
            {
                "image": "pictures/a.png",
                "who": "forgotten",
                "label": "Vera Lindqvist",
                "items": [
                    item(
                        "image_memory", "Where does Vera live?", "Riga", "Riga", "No idea, sorry."
                    ),
                    item("text_memory", "And her illness?", "Asthma", "Asthma", "Asthma"),
                ],
            },
            {
                "image": "pictures/b.png",
                "who": "retained",
                "label": "Ingrid Vale",
                "items": [
                    item("image_memory", "Her town?", "Porto", "Porto", "Porto"),
                    item("image_memory", "Her job?", "Weaver", "Weaver", "Baker"),
                ],
            },
        ],
        "map": {
            "layers": [0, 1],
            "matrices": ["q_proj", "down_proj"],
            "energy_before": [[1.0, 3.0], [2.0, 4.0]],
            "energy_after": [[0.5, 1.5], [1.0, None]],
            "cut": [[0.1, 0.2], [0.3, 0.4]],
            "share_touched": 0.61,
            "share_energy_cut": 0.4,
        },
        "ablation": {"rows": [{"criterion": "both", "ours": ablation, "paper": ablation}]},
        "settings": {"Method": "SMFA", "k": 5.0, "nested": {"rank": 16, "bias": False}},
        "provenance": {"base": "9f2c" * 16, "peak_memory_mib": 2310},
        "not_tested": ["Relearning."],
    }
