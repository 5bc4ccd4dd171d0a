"""What each choice that differs from the paper is worth in score: one choice changed at a time, at equal tokens.

Every variant is trained with several seeds and played on the selection seeds; its difference from the quickstart's
choices is that of `generalist.compare` with the seeds of training pooled: the interval covers the luck of training and
of episodes. Interrupted, it goes on where it was.

    generalist collect --set quickstart && generalist collect --set metaworld/mt10 --episodes 160
    python benchmarks/options.py
"""

import multiprocessing
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from common import parser, save

import generalist
from generalist.configs.experiment import Experiment
from generalist.configs.presets import load_preset
from generalist.configs.quickstart import LAYOUT
from generalist.envs.sets import task_set
from generalist.envs.table import family_of, find_task
from generalist.eval.config import seeds_of
from generalist.play.agent import Agent
from generalist.studies.episodes import Store, play
from generalist.studies.sides import sides_of
from generalist.train.config import SourceConfig

Change = Callable[[Experiment], Experiment]
BASE = "as it is"
SMALL = ("context 4",)
MIXTURES = ("quickstart", "mt10")


def layout(**choices: Any) -> Change:
    return lambda base: base.with_layout(**choices)


def agent(**choices: Any) -> Change:
    def changed(base: Experiment) -> Experiment:
        return replace(base, train=replace(base.train, agent=replace(base.train.agent, **choices)))

    return changed


def training(**choices: Any) -> Change:
    return lambda base: replace(base, train=replace(base.train, **choices))


def all_of(*changes: Change) -> Change:
    def changed(base: Experiment) -> Experiment:
        for change in changes:
            base = change(base)
        return base

    return changed


def bins(count: int, label_width: float) -> Change:
    def changed(base: Experiment) -> Experiment:
        vocabulary = replace(base.train.vocabulary, bins=count)
        return replace(base, train=replace(base.train, vocabulary=vocabulary, label_width=label_width))

    return changed


def played(**choices: Any) -> Change:
    def changed(base: Experiment) -> Experiment:
        return replace(base, evaluation=replace(base.evaluation, **choices))

    return changed


def by_family(base: Experiment) -> Experiment:
    """Every family the same share, and every task of it the same."""
    sizes = Counter(family_of(source.task) for source in base.train.sources)
    sources = tuple(replace(each, weight=1 / sizes[family_of(each.task)]) for each in base.train.sources)
    return replace(base, train=replace(base.train, sources=sources))


def equal(base: Experiment) -> Experiment:
    """Every task the same share."""
    return replace(base, train=replace(base.train, sources=tuple(replace(s, weight=1.0) for s in base.train.sources)))


def play_chunk(count: int) -> Change:
    def changed(base: Experiment) -> Experiment:
        return played(decode=replace(base.evaluation.decode, play_chunk=count))(base)

    return changed


def adamw(base: Experiment) -> Experiment:
    return training(optimizer=replace(base.train.optimizer, method="adamw"))(base)


def prompted(base: Experiment) -> Experiment:
    """The rows are four times as long and a quarter as many, so that as many tokens are read."""
    rows, long = max(1, base.train.batch_size // 4), 4 * base.train.sequence_length
    prompt = replace(base.train.prompt, fraction=0.25)
    changes = (
        agent(window=long, source_embedding=False, vector_gate=False),
        training(batch_size=rows, sequence_length=long, prompt=prompt),
        layout(context=None),
        played(prompts=1),
    )
    return all_of(*changes)(base)


VARIANTS: dict[str, Change] = {
    BASE: lambda base: base,
    "past actions shown": layout(past_actions="shown", actions="sequential"),
    "past actions shown, context 4": layout(past_actions="shown", actions="sequential", context=4),
    "context 4": layout(context=4),
    "a token per value": all_of(layout(continuous="tokens"), agent(local_positions=96)),
    "one-hot labels": training(label_width=0.0),
    "labels of width 3": training(label_width=3.0),
    "1024 bins": bins(1024, 6.0),
    "no task embedding": agent(source_embedding=False, vector_gate=False),
    "prompts, no task embedding": prompted,
    "action tokens in turn": layout(actions="sequential"),
    "no gate by task": agent(vector_gate=False),
    "images without the mission": agent(image_text=False),
    "AdamW": adamw,
    "families alike": by_family,
    "tasks alike": equal,
    "chunk 4, 1 played": layout(chunk=4),
    "chunk 4, 4 played": all_of(layout(chunk=4), play_chunk(4)),
    "return shown": layout(returns="to_go"),
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where and how much: `steps` of 0 are the config's own."""

    mixture: str
    data: Path
    work: Path
    steps: int
    episodes: int

    def experiment(self, variant: str, seed: int) -> Experiment:
        """One device and one thread, so that as many runs as there are cores stand beside each other."""
        base = load_preset("quickstart")
        if self.mixture == "mt10":
            ten = tuple(SourceConfig(task=task.id, layout=LAYOUT) for task in task_set("metaworld/mt10"))
            base = training(sources=ten)(base)
        mesh = replace(base.train.mesh, cpu_devices=1)
        steps = self.steps or base.train.steps
        base = training(seed=seed, steps=steps, mesh=mesh, checkpoint_every=steps)(base)
        measured = played(seeds="selection", episodes=self.episodes, films=False)
        return VARIANTS[variant](measured(base))

    def run(self, variant: str, seed: int) -> Path:
        return self.work / f"{variant.replace(',', '').replace(' ', '-')}-{seed}"


def train(place: Place, variant: str, seed: int) -> None:
    """Train one run, and play it, so that the comparison finds its episodes stored."""
    run = place.run(variant, seed)
    generalist.fit(place.experiment(variant, seed), data=place.data, out=run, resume=True, quiet=True, workers=0)
    print(f"trained {run.name}", flush=True)
    chosen = sides_of((run, run))[0].chosen[0]
    agent, store = Agent.load(chosen.run, step=chosen.step), Store(chosen, place.data, place.work / "compared")
    for id in chosen.run.layouts:
        task = find_task(id)
        if (known := store.agent(task)) is None or len(known.returns) < chosen.config.episodes:
            store.save(task, play(agent, task, place.data, chosen.config, seeds_of(chosen.config)))
    print(f"played {run.name}", flush=True)


def rows(place: Place, variants: list[str], seeds: range) -> list[dict[str, Any]]:
    sides = [",".join(str(place.run(variant, seed)) for seed in seeds) for variant in variants]
    found = generalist.compare(*sides, data=place.data, out=place.work / "compared")
    table = []
    for variant, comparison in zip(variants[1:], found["comparisons"], strict=True):
        overall, tasks = comparison["overall"], comparison["tasks"]
        worst = min(tasks, key=lambda task: task["normalized_difference"] or 0)
        best = max(tasks, key=lambda task: task["normalized_difference"] or 0)
        row = {
            "mixture": place.mixture,
            "choice": variant,
            "score": overall["second"],
            BASE: overall["first"],
            "difference": overall["difference"],
            "low": overall["ci95"][0],
            "high": overall["ci95"][1],
            "most lost": f"{worst['id']} {worst['normalized_difference']:+.2f}",
            "most gained": f"{best['id']} {best['normalized_difference']:+.2f}",
        }
        table.append(row)
    return table


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--mixtures", nargs="+", choices=MIXTURES, default=MIXTURES)
    options.add_argument("--data", type=Path, default=Path("data"))
    options.add_argument("--work", type=Path, default=Path("runs/options"), help="folder of the runs")
    options.add_argument("--steps", type=int, default=0, help="updates of each run; 0 are the config's")
    options.add_argument("--seeds", type=int, default=2)
    options.add_argument("--episodes", type=int, default=20)
    options.add_argument("--only", nargs="*", choices=[name for name in VARIANTS if name != BASE], metavar="VARIANT")
    options.add_argument("--processes", type=int, default=2, help="runs that are trained at a time")
    given = options.parse_args()
    variants = [BASE, *(given.only or (SMALL if given.small else [name for name in VARIANTS if name != BASE]))]
    steps, episodes, seeds = (20, 2, range(1)) if given.small else (given.steps, given.episodes, range(given.seeds))
    found = []
    for mixture in given.mixtures:
        place = Place(mixture=mixture, data=given.data, work=given.work / mixture, steps=steps, episodes=episodes)
        jobs = [(variant, seed) for seed in seeds for variant in variants]
        with multiprocessing.get_context("spawn").Pool(given.processes, maxtasksperchild=1) as pool:
            pool.starmap(partial(train, place), jobs, chunksize=1)
        found += rows(place, variants, seeds)
    save(given.out, "options", found, steps=steps, seeds=len(seeds), episodes=episodes)


if __name__ == "__main__":
    main()
