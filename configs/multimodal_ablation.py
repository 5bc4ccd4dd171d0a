"""The model of `multimodal` on one part of its mixture alone, with as many tokens of that part: what joining costs.

    generalist train multimodal_ablation/control --data runs/quickstart/data
    generalist train multimodal_ablation/text
    generalist train multimodal_ablation/pictures
    generalist train multimodal_ablation/drawings
    generalist eval runs/multimodal --alone runs/multimodal_ablation/control --alone runs/multimodal_ablation/text ...

The rows of a batch are then full of that part, so that fewer updates hold as many of its tokens.
"""

from dataclasses import replace

from generalist.configs.experiment import Experiment
from generalist.configs.multimodal import STEPS
from generalist.configs.multimodal import config as multimodal

SHARES = {"control": 0.310, "text": 0.094, "pictures": 0.222, "drawings": 0.375}
"""Of the tokens of `multimodal`, from its metrics.jsonl."""


def config(part: str) -> Experiment:
    """The experiment on one of the parts of `SHARES`."""
    base = multimodal()
    documents = {
        "control": (),
        "text": tuple(each for each in base.train.documents if each.corpus == "docstrings"),
        "pictures": tuple(each for each in base.train.documents if each.room),
        "drawings": tuple(each for each in base.train.documents if each.corpus.startswith("drawings:")),
    }
    train = replace(
        base.train,
        sources=base.train.sources if part == "control" else (),
        documents=documents[part],
        steps=round(STEPS * SHARES[part]),
    )
    return replace(base, train=train)
