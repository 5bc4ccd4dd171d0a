"""Every notebook runs from its first to its last cell, in small; what is committed is what a whole run showed."""

import json
import os
import re
import sys
from pathlib import Path

import pytest
from nbmake.nb_run import NotebookRun

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
MINUTES = {"studies", "texts_and_pictures", "adapt"}
"""Notebooks that train for minutes."""
PATHS = re.compile(r"(?<![\w.])/(tmp|home|root|work|Users)/")


def named(path: Path) -> str:
    return path.stem


@pytest.fixture(autouse=True)
def _commands_of_this_environment(monkeypatch):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


def test_there_are_notebooks():
    assert {"meet_an_agent", "your_own_environment", "data", "adapt"} <= set(map(named, NOTEBOOKS))


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=pytest.mark.rare if named(path) in MINUTES else ()) for path in NOTEBOOKS],
    ids=named,
)
def test_it_runs(path):
    error = NotebookRun(path, default_timeout=600).execute().error
    assert error is None, error.trace


@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_it_is_committed_as_it_ran_and_names_no_machine(path):
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert any("image/png" in output.get("data", {}) for output in outputs) or any(
        "data:image" in "".join(output.get("data", {}).get("text/html", "")) for output in outputs
    )
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert not [found[0] for output in outputs if (found := PATHS.search(json.dumps(output)))]
