"""The quickstart's tasks and a share of each newer family in one small transformer, on two CPU cores.

    generalist collect --set worlds      (or as many episodes as docs/worlds.md has)
    generalist train worlds
    generalist eval runs/worlds

An arm that fills a basket (LIBERO), rooms in words (TextWorld), a web page (MiniWoB++), a first-person game
(ViZDoom), a game that is steered through gaps (Procgen), muscles (MyoSuite) and robots (MuJoCo Playground) stand beside
classic control, grids and Meta-World, and questions that reasoning-gym draws beside all of them. Gato has none of these
families but Procgen (Reed et al. 2022, table 1). They need the extras libero, text, web, envpool and procgen, and
MiniWoB++ a Chromium.

`docs/worlds.md` has its scores, and what the newer families cost the older ones.
"""

from collections import Counter
from dataclasses import replace

from generalist.configs.experiment import Experiment
from generalist.configs.quickstart import LAYOUT
from generalist.configs.quickstart import config as quickstart
from generalist.envs.sets import WORLDS
from generalist.envs.table import family_of, find_task
from generalist.tokenizers.layout import LayoutOptions
from generalist.tokenizers.text import WORLDS as PIECES
from generalist.train.config import DocumentsConfig, SourceConfig, TextConfig

STATES = replace(LAYOUT, max_text_tokens=64)
"""As in the quickstart, with room for a page of MiniWoB++ and what TextWorld asks for."""

UNTOLD = replace(LAYOUT, max_text_tokens=1)
"""The present alone, and one token of what LIBERO's arm is told: the whole has six times as many tokens as a state, and
a learned vector tells tasks apart. With seven timesteps more the arm succeeded less often (`docs/libero.md`)."""

ROOMS = replace(STATES, separator=True, past_actions="shown", actions="sequential", context=2, action_text_tokens=8)
"""One step back: which way one came is not in the description of a room."""

FRAMES = replace(STATES, images="patches", patch_size=12)
"""A token for each of the 49 patches of a first-person view: a few pixels decide there."""

LAYOUTS: dict[str, LayoutOptions] = {
    "libero_object": UNTOLD,
    "textworld": ROOMS,
    "vizdoom": FRAMES,
}
"""Of the families that are not shown as in the quickstart."""

WEIGHTS = {
    "libero_object": 20.0,
    "textworld": 10.0,
    "miniwob": 5.0,
    "vizdoom": 8.0,
    "procgen": 15.0,
    "myosuite": 2.0,
    "playground": 5.0,
}
"""Share of sequences of each newer family, its tasks alike; the quickstart's tasks have theirs (40.5 in all)."""

REASONING = 6.0

STEPS = 5000

SLOTS = 5
"""Environments that are played at once: one of LIBERO takes 300 MB, and seconds to make."""


def config() -> Experiment:
    base = quickstart()
    sizes = Counter(family_of(task) for task in WORLDS)
    newer = tuple(_source(task, WEIGHTS[family_of(task)] / sizes[family_of(task)]) for task in WORLDS)
    train = replace(
        base.train,
        sources=(*base.train.sources, *newer),
        documents=(DocumentsConfig(corpus="reasoning", weight=REASONING, pictures_per_row=0),),
        text=TextConfig(tokenizer="sentencepiece", model=PIECES),
        vocabulary=replace(base.train.vocabulary, text_size=1024),
        agent=replace(
            base.train.agent,
            width=96,
            layers=3,
            head_size=24,
            window=256,
            local_positions=160,
            vector_hidden=256,
            patch_channels=8,
        ),
        sequence_length=256,
        batch_size=8,
        steps=STEPS,
    )
    evaluation = replace(
        base.evaluation,
        sampled=("babyai", "libero_object"),
        likeliest=(*base.evaluation.likeliest, "myosuite"),
        slots=SLOTS,
    )
    return Experiment(train=train, evaluation=evaluation)


def _source(task: str, weight: float) -> SourceConfig:
    layout = LAYOUTS.get(family_of(task), STATES)
    return SourceConfig(task=task, weight=weight, layout=layout, successes=find_task(task).has_success)
