"""What does not reach the network as it is: named with task, episode and step, or said before the first update."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
from gymnasium import spaces
from tiny import CONFIG
from written import episode_of, write_episodes

from generalist.corpora.corpus import BadExampleError
from generalist.tokenizers.document import DocumentLayout
from generalist.tokenizers.options import LayoutOptions
from generalist.tokenizers.parts import Document, Picture, Words
from generalist.tokenizers.text import ByteTokenizer
from generalist.tokenizers.vocabulary import Vocabulary
from generalist.train.config import PromptConfig, SourceConfig
from generalist.train.documents import DocumentSource
from generalist.train.loop import train
from generalist.train.notices import corpus_notices, in_short
from generalist.train.sources import open_mixture

TASK = "gym:Reading-v0"
STEPS = 7
OBSERVATION = spaces.Dict(n=spaces.Discrete(4), say=spaces.Text(40), x=spaces.Box(-np.inf, np.inf, (2,), np.float32))
ACTION = spaces.Box(-np.inf, np.inf, (2,), np.float32)
BEGIN = "the cup that stands "


def episodes(count=4, text=lambda number, step: "go"):
    found = []
    for number in range(count):
        rng = np.random.default_rng(number)
        said = np.array([text(number, step) for step in range(STEPS + 1)], object)
        numbers = rng.normal(0, 1, (STEPS + 1, 2)).astype(np.float32)
        observations = {"n": rng.integers(0, 4, STEPS + 1), "say": said, "x": numbers}
        found.append(episode_of(TASK, observations, rng.normal(0, 9, (STEPS, 2)).astype(np.float32), number))
    return found


def config(**options):
    source = SourceConfig(task=TASK, layout=LayoutOptions(**options))
    agent = replace(CONFIG.agent, window=96)
    return replace(
        CONFIG, sources=(source,), agent=agent, prompt=PromptConfig(fraction=0), sequence_length=64, held_out=0.0
    )


def written(folder, made):
    return write_episodes(folder, TASK, (OBSERVATION, ACTION), made)


def read(config, data):
    """Enough examples to meet every step."""
    [source] = open_mixture(config, data).sources
    return [source[number] for number in range(20)]


WRONG = [
    ("n", (), 4, r"observation\['n'\]: 4 is not in Discrete\(4\) in episode 2, step 5 of "),
    ("x", (1,), np.nan, r"observation/x\[1\]: NaN in episode 2, step 5 of "),
    ("action", (0,), np.nan, r"action\[0\]: NaN in episode 2, step 5 of "),
    ("action", (1,), np.inf, r"action\[1\]: an infinite value in episode 2, step 5 of "),
]


@pytest.mark.parametrize("continuous", ["tokens", "vector"])
@pytest.mark.parametrize(("key", "where", "value", "said"), WRONG)
def test_wrong_values_of_a_folder_are_named(key, where, value, said, continuous, tmp_path):
    made = episodes()
    (made[2].actions if key == "action" else made[2].observations[key])[(5, *where)] = value
    data = written(tmp_path, made)
    with pytest.raises(ValueError, match=rf"^{TASK}: {said}"):
        read(config(continuous=continuous), data)


def test_wrong_values_are_named_where_no_range_is_looked_for(tmp_path):
    made = episodes()
    made[1].actions[4, 0] = np.nan
    data = written(tmp_path, made)
    with pytest.raises(ValueError, match=rf"^{TASK}: action\[0\]: NaN in episode 1, step 4 of .*: drop or repair"):
        read(config(ranges="mu-law"), data)


def test_infinite_observations_are_said(tmp_path):
    made = episodes()
    made[3].observations["x"][2:4, 1] = -np.inf
    mixture = open_mixture(config(continuous="vector"), written(tmp_path, made))
    [said] = [line for line in mixture.notices if "infinite" in line]
    assert said.startswith(f"{TASK}: observation/x[1]: an infinite value in episode 3, step 2 of {tmp_path}")
    assert said.endswith("2 in all; they are shown as the outermost value")


def test_texts_that_are_cut_are_counted_and_said(tmp_path, capsys):
    data = written(tmp_path, episodes(text=lambda number, step: BEGIN + ["left", "right", "here"][number % 3]))
    cut = config(max_text_tokens=20, images="conv")
    run = train(replace(cut, steps=1), data, tmp_path / "run")
    said = (
        f"{TASK}: 3 of 3 different texts of observation/say are cut to 20 ids, in 28 of 28 timesteps; 3 of them then "
        "equal another; the longest has 25: --train.sources.0.layout.max-text-tokens 25 cuts none"
    )
    assert said in json.loads((run.directory / "config.json").read_text())["notices"]
    assert capsys.readouterr().err.count(said) + capsys.readouterr().out.count(said) == 1
    assert not [line for line in open_mixture(config(max_text_tokens=25), data).notices if "cut" in line]


@pytest.mark.parametrize(("options", "needed"), [({}, 44), ({"past_actions": "hidden", "continuous": "vector"}, 44)])
def test_a_window_too_short_for_the_space_is_refused_before_training(options, needed, tmp_path):
    """The texts that occur are of two letters; the space allows forty."""
    data = written(tmp_path, episodes())
    short = config(**options)
    agent = replace(short.agent, window=needed - 1)
    with pytest.raises(
        ValueError,
        match=rf"a timestep of {TASK} may need \d+ positions when it is played, by its spaces, and agent.window is "
        r"43: raise it \(--train.agent.window \d+\), or cut texts shorter "
        r"\(--train.sources.0.layout.max-text-tokens, now 40 ids\)",
    ):
        open_mixture(replace(short, agent=agent, sequence_length=32), data)
    open_mixture(replace(config(max_text_tokens=30, **options), agent=agent, sequence_length=32), data)


@dataclass(frozen=True)
class Captions:
    """Every second is long, every seventh damaged."""

    count: int
    measure: str = "text"
    labels: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Document:
        if index % 7 == 0:
            raise BadExampleError(f"line {index}: broken")
        return (Picture(np.zeros((16, 16, 3), np.uint8)), Words("x" * (200 if index % 2 else 20)))


@dataclass(frozen=True)
class Texts(Captions):
    """Longer than a row: split, and nothing is lost."""

    def __getitem__(self, index: int) -> Document:
        return (Words("x" * 500),)


def corpus(kind, count=1000, length=100) -> DocumentSource:
    layout = DocumentLayout(Vocabulary(), ByteTokenizer())
    return DocumentSource(
        index=0, name="captions", layout=layout, corpus=kind(count), sequence_length=length, pictures=1, seed=0
    )


def test_documents_that_lose_their_end_are_said():
    [said] = corpus_notices(corpus(Captions))
    found = corpus(Captions).layout
    assert found.length(Captions(9)[1]) == len(found.encode([Captions(9)[1]], source=0)) == 1 + 16 + 200 + 1
    words = said.split()
    assert words[0] == "captions:"
    assert 0 < int(words[1]) < int(words[3]) <= 64
    assert "longer than a row of 100 positions and lose their end; the longest has 218: --train.sequence-length" in said
    assert corpus_notices(corpus(Captions, length=218)) == []
    assert corpus_notices(corpus(Texts)) == []


def test_very_many_lines_are_said_in_short(tmp_path):
    few, many = [f"line {number}" for number in range(20)], [f"line {number}" for number in range(600)]
    assert in_short(few, tmp_path) == few
    shown = in_short(many, tmp_path / "config.json")
    assert len(shown) == 20
    assert shown[:19] == many[:19]
    assert shown[-1] == f"and 581 more of this kind: `notices` of {tmp_path / 'config.json'}"
