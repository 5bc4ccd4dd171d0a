"""A foundation on eleven BabyAI levels of one skill in one room, from which levels that are not among them are learnt.

    T="GoToRedBallNoDists GoToObj GoToObjS4 GoToLocalS5N2 GoToLocalS6N3 GoToDoor OpenRedDoor OpenDoor OpenDoorColor"
    for level in $T PickupDist PickupLoc; do generalist collect --task babyai/$level --episodes 2000; done
    generalist train rooms

Its missions are to go somewhere, to open a door, to pick something up. `babyai/ActionObjDoor` asks for any of these in
one level; `babyai/PutNextLocalS5N3`, where a thing is put down, and `babyai/UnlockLocal`, where a key is used, need
what no mission here does. One timestep of context, as in the quickstart; what it costs here was not measured.
"""

from dataclasses import replace

from generalist.configs.experiment import Experiment
from generalist.configs.ml45 import config as ml45
from generalist.configs.quickstart import LAYOUT
from generalist.train.config import SourceConfig

LEVELS = (
    "GoToRedBallNoDists",
    "GoToObj",
    "GoToObjS4",
    "GoToLocalS5N2",
    "GoToLocalS6N3",
    "GoToDoor",
    "OpenRedDoor",
    "OpenDoor",
    "OpenDoorColor",
    "PickupDist",
    "PickupLoc",
)
MISSION_TOKENS = 48
"""Bytes of a mission: all that are asked here or in the levels named above fit."""
STEPS = 5_000


def config() -> Experiment:
    base = ml45()
    layout = replace(LAYOUT, max_text_tokens=MISSION_TOKENS)
    sources = tuple(SourceConfig(task=f"babyai/{level}", layout=layout) for level in LEVELS)
    return replace(base, train=replace(base.train, sources=sources, steps=STEPS))
