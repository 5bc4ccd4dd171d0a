"""Foundations of the same network on other data, to ask what carries over to a new task (Reed et al. 2022, figure 9).

    generalist train transfer/all       # control of every family that the quickstart has, texts and digits
    generalist train ml45               # the same domain alone
    generalist train transfer/words     # no control at all
    generalist study adapt runs/... --set metaworld/ml45-test --layout-of ml45

Training from scratch, which every study measures, is the fourth. `transfer/all` reads as many examples of ML45 as
`ml45` does, besides the others.
"""

from dataclasses import replace

from generalist.configs.experiment import Experiment
from generalist.configs.ml45 import config as ml45
from generalist.configs.multimodal import DIGITS
from generalist.configs.quickstart import config as quickstart
from generalist.train.config import DocumentsConfig

WORDS = (
    DocumentsConfig(corpus="docstrings", weight=15.0, pictures=DIGITS),
    DocumentsConfig(corpus="digits", weight=5.0, pictures=DIGITS),
)
"""An example of a task fills a row, as one of docstrings does; digits are short and share one."""


def config(part: str) -> Experiment:
    """The experiment on one of the parts: "all" or "words"."""
    base = ml45()
    same = base.train.sources
    others = tuple(each for each in quickstart().train.sources if not each.task.startswith("metaworld/"))
    sources = {"all": (*same, *others), "words": ()}[part]
    train = replace(base.train, sources=sources, documents=WORDS)
    share = sum(each.weight for each in same) / sum(train.weights) if sources else 1.0
    return replace(base, train=replace(train, steps=round(base.train.steps / share)))
