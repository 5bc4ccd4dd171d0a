"""A run on tasks and corpora is measured on both, keeps what it has finished, and writes."""

import json
from dataclasses import replace

import pytest
from tiny import CONFIG, train_here

import generalist.eval.language.corpora as module
from generalist.agent.sampling import SamplingConfig
from generalist.configs.commands import cli
from generalist.corpora.open import open_corpus
from generalist.eval.config import EvaluationConfig
from generalist.eval.evaluate import evaluate
from generalist.eval.report.record import recompute
from generalist.play.writer import Writer
from generalist.tokenizers.parts import Words, prompt_and_answer
from generalist.tokenizers.pictures import PictureOptions
from generalist.train.config import DocumentsConfig

PICTURES = PictureOptions(images="conv", shape=(16, 16, 3))
DOCUMENTS = tuple(
    DocumentsConfig(corpus=name, pictures=PICTURES) for name in ("digits", "docstrings", "scenes/questions")
)
EVALUATION = EvaluationConfig(episodes=2, slots=2, selection_episodes=1, films=False, documents=6)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A few updates on two tasks and three corpora."""
    folder = tmp_path_factory.mktemp("language") / "run"
    agent = replace(CONFIG.agent, window=64, source_embedding=True)
    return train_here(folder, documents=DOCUMENTS, agent=agent, sequence_length=64)


def test_every_corpus_and_split_stands_beside_the_scores_with_its_baselines(run, monkeypatch):
    report = evaluate(run, EVALUATION, quiet=True)
    found = {(entry["corpus"], entry["split"]): entry for entry in report["corpora"]}
    assert set(found) == {
        ("digits", "test"),
        ("docstrings", "test"),
        ("scenes/questions", "test"),
        ("scenes/questions", "heldout"),
    }
    assert len(report["tasks"]) == 2
    for entry in found.values():
        assert entry["documents"] == 6
        for score in entry["scores"]:
            assert score["agent"]["value"] is not None
            assert score["baselines"]
    assert recompute(json.loads((run / "report.json").read_text())) == report
    page = (run / "report.html").read_text()
    assert "Language and vision" in page
    assert page.count("data:image/png;base64,") >= 12

    def broken(*_, **__):
        raise AssertionError("measured again")

    monkeypatch.setattr(module, "measure_corpus", broken)
    assert evaluate(run, EVALUATION, quiet=True)["corpora"] == report["corpora"]
    assert "corpora" not in evaluate(run, EVALUATION, tasks=["CartPole-v1"], quiet=True)
    assert "corpora" not in evaluate(run, replace(EVALUATION, documents=0), quiet=True)


def test_a_run_without_tasks_is_measured_too(tmp_path):
    run = train_here(tmp_path / "run", sources=(), documents=DOCUMENTS[1:2], sequence_length=32)
    report = evaluate(run, EVALUATION, quiet=True)
    assert report["tasks"] == []
    assert [entry["corpus"] for entry in report["corpora"]] == ["docstrings"]
    assert "Bits per byte" in (run / "report.html").read_text()


def test_the_commands_write_with_a_trained_run(run, capsys):
    greedy = ["--max-tokens", "5"]
    assert cli.main(["generate", str(run), "Return the", *greedy, "--json"]) == 0
    written = capsys.readouterr().out
    prompt = (Words("Return the", target=False, whole=False),)
    expected = Writer.load(run, source="docstrings").write([prompt], SamplingConfig(max_tokens=5))
    assert json.loads(written) == [{"prompt": "Return the", "text": expected[0]}]
    assert cli.main(["generate", str(run), "x", "--source", "docstring"]) == 2
    assert "docstrings" in capsys.readouterr().err


def test_answers_are_asked_as_they_are_trained(run):
    """A prompt of evaluation is a training document cut before its answer: the same ids at the same positions."""
    writer = Writer.load(run, source="scenes/questions")
    document = open_corpus("scenes/questions")[0]
    prompt, answer = prompt_and_answer(document)
    whole = writer.layout.encode([document], source=writer.source)
    cut = writer.layout.encode([prompt], source=writer.source)
    assert whole.ids[: len(cut)].tolist() == cut.ids.tolist()
    assert len(whole) == len(cut) + len(answer) + 1
    assert whole.loss_mask.sum() == len(answer) + 1
