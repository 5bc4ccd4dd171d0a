"""Tables of the documentation are those of a report."""

import importlib.util
from pathlib import Path

import pytest

from generalist.eval.report.record import to_json

PATH = Path(__file__).parents[3] / "docs" / "make_scores.py"
spec = importlib.util.spec_from_file_location("make_scores", PATH)
assert spec is not None
assert spec.loader is not None
make_scores = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_scores)


@pytest.fixture(scope="module")
def payload(report):
    return to_json(report)


def test_only_what_stands_between_marks_is_replaced_and_once_more_gives_the_same(payload):
    page = "# Scores\n<!-- headline -->\nold\n<!-- end -->\ntext\n<!-- tasks -->\n<!-- end -->\nlast\n"
    made = make_scores.filled(page, payload)
    assert "old" not in made
    assert made.startswith("# Scores\n<!-- headline -->\n")
    assert made.endswith("<!-- end -->\nlast\n")
    assert f"**{make_scores.NAMES['agent']}** | {payload['overall']['mean']:.3f} [" in made
    first = payload["tasks"][0]
    assert f"| {first['id']} | {first['normalized']:.2f} [" in made
    assert make_scores.filled(made, payload) == made


def test_jat_s_scale_is_that_of_its_own_means(payload):
    [task] = [task for task in payload["tasks"] if task["id"] == "Reacher-v5"]
    row = make_scores.jat({"tasks": [task]})[-1]
    mean = (task["agent"]["mean"] + 43.002) / (43.002 - 5.6784)
    assert row.startswith("| mujoco | 1 | ")
    assert float(row.split("|")[3].split("[")[0]) == pytest.approx(mean, abs=2e-3)


def test_the_picture_is_drawn(payload, tmp_path):
    make_scores.draw(payload, tmp_path / "scores.png")
    assert (tmp_path / "scores.png").read_bytes().startswith(b"\x89PNG")
