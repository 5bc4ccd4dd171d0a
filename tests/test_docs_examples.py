"""Every Python example of the documentation runs, on small runs that are called as the pages call theirs."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

import generalist
from generalist.configs.commands.cli import main
from generalist.configs.presets import load_preset
from generalist.tokenizers.vocabulary import Vocabulary

DOCS = Path(__file__).resolve().parent.parent / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
PAGES = {path.stem: found for path in sorted(DOCS.glob("*.md")) if (found := BLOCK.findall(path.read_text()))}
SIZES = ["--shape", "56", "56", "3", "--strides", "8", "--width", "4", "--levels", "5", "5", "--steps", "2"]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder with what the examples speak of."""
    folder = tmp_path_factory.mktemp("docs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        generalist.collect(["CartPole-v1", "FrozenLake8x8-v1"], out="data", episodes=8, quiet=True)
        generalist.collect("metaworld/door-lock-v3", out="data", episodes=10, quiet=True)
        for name in ("smoke", "ml45"):
            generalist.fit("smoke", out=f"runs/{name}", steps=4, quiet=True)
        assert main(["tokenizer", "train-images", "scenes/captions", *SIZES]) == 0
        generalist.fit(
            "smoke",
            sources=(),
            corpora=["docstrings", "drawings:scenes/captions", "series:elnino"],
            visual="visual.safetensors",
            vocabulary=Vocabulary(visual_size=25),
            agent=replace(load_preset("smoke").train.agent, window=128),
            sequence_length=96,
            steps=2,
            out="runs/multimodal",
            quiet=True,
        )
    (folder / "runs" / "series").symlink_to(folder / "runs" / "multimodal")
    return folder


def test_pages_have_examples():
    assert {"adapting", "baselines", "concepts", "language", "scaling_laws", "sharing"} <= set(PAGES)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_examples_run(home, monkeypatch, page):
    """All but the number of updates of an adaptation, which is small here."""
    monkeypatch.chdir(home)
    for steps in ("STEPS", "ALONE_STEPS"):
        monkeypatch.setattr(f"generalist.train.adapted.{steps}", 4)
    notebook = {"__name__": page}
    for block in PAGES[page]:
        exec(compile(block, f"{page}.md", "exec"), notebook)
