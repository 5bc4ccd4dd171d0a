"""From digits to drawn digits by commands: a visual tokenizer, a run that writes pictures, its scores, its export."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import generalist
from generalist.configs.commands.cli import main
from generalist.configs.fit import fit
from generalist.play.painter import Painter
from generalist.tokenizers.vocabulary import Vocabulary
from generalist.train.run import read_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """With a visual tokenizer and a run that was trained for a moment."""
    made = tmp_path_factory.mktemp("drawn")
    visual = made / "visual.safetensors"
    sizes = ["--shape", "8", "8", "1", "--strides", "2", "--width", "8", "--levels", "5", "5"]
    assert main(["tokenizer", "train-images", "digits", "--steps", "3", "--out", str(visual), *sizes]) == 0
    fit(
        "smoke",
        sources=(),
        corpora=["drawings:digits", "docstrings"],
        visual=str(visual),
        vocabulary=Vocabulary(visual_size=25),
        steps=2,
        out=made / "run",
        quiet=True,
    )
    return made


def test_the_run_has_the_tokenizer_of_its_own(folder):
    run = read_run(folder / "run")
    assert run.visual is not None
    assert run.visual.size == 25
    assert (folder / "run" / "visual.safetensors").exists()


def test_pictures_are_drawn_into_one_file(folder, capsys):
    out = folder / "seven.png"
    command = ["draw", str(folder / "run"), "a handwritten seven", "a handwritten one", "--count", "3", "--scale", "2"]
    assert main([*command, "--out", str(out)]) == 0
    assert "3 of each of 2 texts" in capsys.readouterr().out
    with Image.open(out) as image:
        assert image.size == (2 * (3 * 8 + 2), 2 * (2 * 8 + 1))


def test_the_export_draws_the_same(folder):
    generalist.export(folder / "run", folder / "shared")
    texts = ["a handwritten four"]
    mine, its = (Painter.load(folder / name).draw(texts) for name in ("run", "shared"))
    np.testing.assert_array_equal(mine, its)
    (folder / "shared" / "visual.safetensors").unlink()
    with pytest.raises(ValueError, match=r"visual\.safetensors"):
        generalist.load(folder / "shared")


def test_the_report_measures_what_is_drawn(folder):
    report = generalist.evaluate(folder / "run", documents=6, quiet=True)
    (drawn,) = (entry for entry in report["corpora"] if entry["measure"] == "drawing")
    assert drawn["corpus"] == "drawings:digits"
    scores = {score["name"]: score for score in drawn["scores"]}
    assert scores["bits per token"]["agent"]["value"] > 0
    assert set(scores["exact match"]["baselines"]) == {"clusters", "retrieval", "rebuilt"}
    assert scores["exact match"]["baselines"]["retrieval"]["value"] > 0.5  # words of training name the same digit
    assert (folder / "run" / "report.html").read_text().count("The picture that the agent drew") == 6


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["draw", "RUN"], "needs a text"),
        (["draw", "RUN", "x", "--count", "0"], "must be 1 or more"),
        (["draw", "RUN", "x", "--source", "docstrings", "--guidance", "0.5"], "guidance must be 1 or more"),
        (["draw", "RUN", "x" * 60], "a text and its picture have"),
    ],
)
def test_what_cannot_be_drawn_is_one_clear_line(folder, capsys, args, said):
    assert main([str(folder / "run") if each == "RUN" else each for each in args]) == 2
    assert said in capsys.readouterr().err


def test_a_run_that_writes_no_pictures_says_how_one_would(folder, tmp_path, capsys):
    fit("smoke", sources=(), corpora="docstrings", steps=1, out=tmp_path / "words", quiet=True)
    assert main(["draw", str(tmp_path / "words"), "x", "--source", "docstrings"]) == 2
    assert "--train.visual FILE" in capsys.readouterr().err
