"""Every benchmark runs at its smallest and leaves figures that can be; the page is made from what they leave."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DIFFERENCES = {"each more token ms", "token / bound"}
"""Of two times: at the smallest sizes they may come out below zero."""

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def run(script: Path, *arguments: str) -> None:
    done = subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


NAMES = [
    *("training_step", "acting", "generation", "rollout", "growth", "scale", "collection", "noise"),
    *("columns", "pictures", "serving", "public_models"),
]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_runs_and_its_ratios_are_positive_numbers(name, tmp_path):
    run(BENCHMARKS / f"{name}.py", "--small", "--out", str(tmp_path))
    stored = json.loads((tmp_path / f"{name}.json").read_text())
    assert stored["machine"]["cores"] >= 1
    assert stored["rows"]
    for row in stored["rows"]:
        figures = {name: value for name, value in row.items() if isinstance(value, float) and name not in DIFFERENCES}
        assert all(value >= 0 for value in figures.values()), row
        for ratio in {"utilisation", "of bare", "env steps/s"} & set(row):
            assert row[ratio] > 0


@pytest.mark.slow
def test_the_presets_are_compiled_for_an_accelerator(tmp_path):
    pytest.importorskip("jax_plugins.xla_cuda12", reason="needs the extra aot")
    test_it_runs_and_its_ratios_are_positive_numbers("accelerators", tmp_path)


@pytest.mark.slow
def test_batches_of_envpool_are_measured(tmp_path):
    pytest.importorskip("envpool", reason="needs the extra envpool")
    test_it_runs_and_its_ratios_are_positive_numbers("vector", tmp_path)


def test_the_page_has_a_table_for_each_result(tmp_path):
    copied = tmp_path / "benchmarks"
    shutil.copytree(BENCHMARKS, copied, ignore=shutil.ignore_patterns("results", "README.md", "__pycache__"))
    (copied / "results").mkdir()
    machine = {"processor": "a processor", "cores": 2, "device": "cpu", "python": "3.11", "versions": {"jax": "0.10"}}
    stored = {"machine": machine, "rows": [{"width": 64, "utilisation": 0.51234}, {"width": 128, "utilisation": 0.5}]}
    (copied / "results" / "training_step.json").write_text(json.dumps(stored))
    run(copied / "table.py")
    page = (copied / "README.md").read_text()
    assert "| 64 | 0.512 |" in page
    assert "How near a training step comes" in page
    assert "a processor, 2 cores" in page
