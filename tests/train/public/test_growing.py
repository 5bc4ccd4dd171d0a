"""A public language model that becomes a generalist: what it knew is there, what is new begins as is said."""

import io
import json
import shutil

import jax
import numpy as np
import pytest
import torch
import transformers
from flax import nnx
from public_models import model

import generalist
from generalist.agent.sampling import SamplingConfig
from generalist.play.agent import Agent
from generalist.play.server.asked import Said
from generalist.play.writer import Writer
from generalist.tokenizers.json_text import JsonTokenizer
from generalist.tokenizers.parts import Speaker, Words
from generalist.train.checkpoint import CheckpointError
from generalist.train.run import read_run


def theirs():
    return transformers.AutoModelForCausalLM.from_pretrained(model()).eval()


def test_it_goes_on_with_a_text_as_in_transformers():
    ids = JsonTokenizer.load(model()).encode("The capital")
    with torch.no_grad():
        found = theirs().generate(torch.from_numpy(ids)[None].long(), max_new_tokens=12, do_sample=False)
    expected = found[0, len(ids) :].tolist()
    writer = Writer.load(model())
    sampling = SamplingConfig(max_tokens=12)
    [written] = writer.written(["The capital"], sampling)
    stop = expected.index(258) if 258 in expected else len(expected)
    assert written.text == writer.layout.text.decode(expected[:stop])


def test_its_loss_is_that_of_transformers():
    text = "Go to the red ball behind the door."
    ids = torch.from_numpy(JsonTokenizer.load(model()).encode(text))[None].long()
    with torch.no_grad():
        expected = -theirs()(ids, labels=ids).loss.item() * (ids.shape[1] - 1)
    [found] = Writer.load(model()).log_likelihoods([(Words(text, whole=False),)])
    assert found == pytest.approx(expected, rel=1e-4)


def test_who_speaks_is_told_by_its_template(capsys, monkeypatch):
    asked = []
    encode = Writer.encoded

    def heard(self, document):
        asked.append(self.layout.text.decode(encode(self, document).ids))
        return encode(self, document)

    monkeypatch.setattr(Writer, "encoded", heard)
    monkeypatch.setattr("sys.stdin", io.StringIO("Where is the <|im_end|>?\nWhere is it?\n"))
    from generalist.configs.commands.cli import main

    assert main(["chat", str(model()), "--max-tokens", "3"]) == 0
    assert "must not have <|im_end|> in it" in capsys.readouterr().err
    assert asked == ["<|im_start|>user\nWhere is it?<|im_end|>\n<|im_start|>assistant\n"]


@pytest.fixture(scope="module")
def control(tmp_path_factory):
    """A run on tasks and texts that begins with the model, and what it began with."""
    folder = tmp_path_factory.mktemp("control")
    generalist.collect(["CartPole-v1", "FrozenLake8x8-v1"], out=folder / "data", episodes=6, quiet=True)
    run = generalist.fit(
        "smoke", foundation=model(), corpora="docstrings", data=folder / "data", steps=2, out=folder / "run",
        checkpoint_every=1, quiet=True,
    )  # fmt: skip
    return run, folder


def test_a_server_talks_as_its_template_says():
    from generalist.configs.commands.served import models_of

    for model_ in models_of(Agent.load(model())).values():
        assert model_.measure == "dialogue"
        assert model_.prompt([Said("user", "Hi", ())], 3) == (Speaker("user"), Words("Hi", False), Speaker("assistant"))


def test_a_run_takes_its_trunk_its_words_and_their_tokenizer(control):
    run, _ = control
    assert run.config.agent.trunk.key_heads == 2
    assert (run.config.agent.width, run.config.agent.layers, run.config.agent.heads) == (32, 2, 4)
    assert run.config.vocabulary.text_size == 261
    assert not run.config.vocabulary.text_alone
    assert run.text.version == JsonTokenizer.load(model()).version
    assert run.foundation["run"] == str(model())
    assert Agent.load(run).tasks == ("CartPole-v1", "FrozenLake8x8-v1")


def test_what_training_would_start_from_is_described(capsys):
    from generalist.configs.commands.cli import main

    asked = ["--foundation", str(model()), "--task", "FrozenLake8x8-v1", "--corpus", "docstrings", "--json"]
    assert main(["describe", "smoke", *asked, "--mesh", *"111"]) == 0
    parameters = json.loads(capsys.readouterr().out)["parameters"]
    assert parameters["blocks"] == sum(each.numel() for each in theirs().model.layers.parameters())
    assert parameters["token table"] % 32 == 0
    assert parameters["token table"] > 32 * 261


def test_new_rows_are_like_theirs_and_old_ones_stay(control):
    from generalist.agent.config import InputSizes
    from generalist.agent.network import Network
    from generalist.agent.sharding import make_mesh, use_mesh
    from generalist.train.foundation import Weights, with_weights

    run, _ = control
    sizes = InputSizes(vocabulary=run.config.vocabulary.size, vector_values=4, sources=3)
    with use_mesh(make_mesh(1)):
        network = Network(run.config.agent, sizes, rngs=nnx.Rngs(0))
        state = {0: nnx.state(network)}
        state, said = with_weights(state, run.config, sizes, Weights(run=model()))
    table = theirs().get_input_embeddings().weight.detach().numpy()
    rows = np.asarray(state[0]["tokens"]["rows"].get_value())
    np.testing.assert_array_equal(rows[:261], table)
    new = rows[261 : sizes.vocabulary]
    np.testing.assert_allclose(new.mean(axis=0), table.mean(axis=0), atol=0.2 * table.std())
    np.testing.assert_allclose(new.std(axis=0), table.std(axis=0), rtol=0.25)
    assert len(np.unique(new, axis=0)) == len(new)
    head = np.asarray(state[0]["head"]["rows"].get_value())
    np.testing.assert_array_equal(head[:261], theirs().lm_head.weight.detach().numpy())
    assert any(line.startswith("tokens: new:") for line in said)
    assert any(line.startswith("vector: new:") for line in said)


def test_it_goes_on_and_is_played_without_the_model(control, tmp_path):
    run, folder = control
    there = shutil.copytree(run.directory, tmp_path / "run")
    moved = Agent.load(there)
    for mine, its in zip(jax.tree.leaves(moved.state), jax.tree.leaves(Agent.load(run).state), strict=True):
        np.testing.assert_array_equal(mine, its)
    further = generalist.fit(
        "smoke", foundation=model(), corpora="docstrings", data=folder / "data", steps=3, out=run.directory,
        checkpoint_every=1, resume=True, quiet=True,
    )  # fmt: skip
    assert further.config.steps == 3


def test_another_tokenizer_or_another_trunk_is_refused(control, tmp_path):
    run, folder = control
    with pytest.raises(CheckpointError, match=r"is not that of .* --foundation"):
        generalist.fit("smoke", weights=model(), data=folder / "data", out=tmp_path / "a", quiet=True)
    with pytest.raises(ValueError, match="is a run and no public language model"):
        generalist.fit("smoke", foundation=run, data=folder / "data", out=tmp_path / "b", quiet=True)
    assert not (tmp_path / "a").exists()


def test_a_tokenizer_that_does_not_fit_the_weights(tmp_path):
    there = shutil.copytree(model(), tmp_path / "model")
    stored = json.loads((there / "tokenizer.json").read_text())
    stored["added_tokens"].append(dict(stored["added_tokens"][0], id=259, content="<more>"))
    stored["added_tokens"].append(dict(stored["added_tokens"][0], id=260, content="<more2>"))
    stored["added_tokens"].append(dict(stored["added_tokens"][0], id=261, content="<more3>"))
    (there / "tokenizer.json").write_text(json.dumps(stored))
    with pytest.raises(ValueError, match="the tokenizer has 262 ids and the token table 261 rows"):
        read_run(there)
    (there / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=r"has no tokenizer\.json"):
        read_run(there)
