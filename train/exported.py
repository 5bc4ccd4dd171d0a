"""A run that is given away: a folder of `config.json`, `model.safetensors` and a model card, of one checkpoint.

`config.json` is that of a run with one part more, `export`, which says what the folder is. Such a folder is only read:
nothing is ever written into it, and nothing in it can be executed. It may be a stranger's, so what it says of sizes is
compared with the file of parameters before anything of that size is made.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import NamedSharding
from safetensors import SafetensorError

from generalist.tokenizers.layout import Layout
from generalist.train.adapter_file import digest_of, fingerprint
from generalist.train.checkpoint import CheckpointError, Which
from generalist.train.config import TrainConfig
from generalist.train.exported_files import TEXT_MODEL, VISUAL, WEIGHTS
from generalist.train.tensor_file import check_spaces, read_arrays
from generalist.train.timestep_sizes import check_timesteps
from generalist.train.trainable import name_of

FORMAT = 1
PART = "export"
"""The field of `config.json` that makes a folder an export."""
DATA = "data"
"""Where an export looks for demonstrations, if nobody says where they are."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
LARGEST_CACHE = 2**32
"""Bytes of keys and values of one environment that a folder may ask for when its agent acts."""
MOST = {"accumulation": 4096, "data_streams": 4096, "held_out_batches": 65_536}
"""What a configuration may ask of whoever trains on from it."""
REPAIR = "fetch it again, or export it again"


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What `config.json` of an exported folder says of it.

    Args:
        name: what it is called wherever it lies; a folder of results may be named so.
        step: the update whose checkpoint it is.
        best: whether that was the best one of the run (as "best" of `generalist.load`).
        digests: SHA-256 of each parameter by its path.
    """

    name: str
    step: int
    best: bool
    digests: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """One SHA-256 of the whole network."""
        return fingerprint(self.digests)

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self)}


def exported_from(directory: Path, stored: Mapping[str, Any]) -> Exported | None:
    """What a `config.json` says of the export that it is in; None of a run's.

    Raises:
        ValueError: of a newer format, or damaged.
    """
    if PART not in stored:
        return None
    with told_of(directory):
        said = stored[PART]
        if said["format"] != FORMAT:
            newer = "; a newer version of generalist wrote it: upgrade generalist" * (said["format"] > FORMAT)
            raise Unreadable(f"{directory} is an export of format {said['format']}, this version reads {FORMAT}{newer}")
        name, digests = said["name"], {str(key): str(value) for key, value in said["digests"].items()}
        if not NAME.fullmatch(name):
            raise ValueError(f"{str(name)[:80]!r} is no name of an export")
        if not (directory / WEIGHTS).is_file():
            raise ValueError(f"{WEIGHTS} is missing")
        if not digests:
            raise ValueError("it has no digests of its parameters")
        if set(stored.get("files", ())) - {TEXT_MODEL, VISUAL}:
            raise ValueError("it lists files that an export does not have")
        check_spaces(stored["layouts"], stored["config"])
        return Exported(name=name, step=int(said["step"]), best=bool(said["best"]), digests=digests)


class Unreadable(ValueError):  # noqa: N818
    """What is wrong, in words of its own."""


DAMAGE = (
    *(SafetensorError, ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError),
    *(ArithmeticError, RecursionError, MemoryError),
)
"""What reading contents that make no sense may raise."""


@contextmanager
def told_of(directory: Path) -> Iterator[None]:
    """What goes wrong inside is the folder's fault, and the error says so."""
    try:
        yield
    except (Unreadable, CheckpointError):
        raise
    except DAMAGE as error:
        why = " ".join(f"{error}".split())[:300] or type(error).__name__
        missing = "no " * isinstance(error, KeyError)
        raise CheckpointError(f"the export {directory} is damaged: {missing}{why}; {REPAIR}") from error


def check_sizes(directory: Path, config: TrainConfig, layouts: Mapping[str, Any]) -> None:
    """Raises ValueError where a configuration asks for more than the file of parameters has, before it is made.

    Args:
        layouts: by task, as they are stored.
    """
    agent, there = config.agent, (directory / WEIGHTS).stat().st_size
    heads = agent.heads * agent.head_size
    least = agent.layers * agent.block_matrices + agent.width * (config.vocabulary.size + agent.local_positions)
    if 4 * least > there:
        raise ValueError(
            f"its configuration needs at least {4 * least:,} bytes of parameters, {WEIGHTS} has {there:,} bytes"
        )
    cache = 2 * 4 * agent.layers * heads * agent.window
    if cache > LARGEST_CACHE:
        raise ValueError(f"its agent.window {agent.window} needs {cache:,} bytes for each environment that it plays")
    for name, most in MOST.items():
        if getattr(config, name) > most:
            raise ValueError(f"its {name} {getattr(config, name)} is more than {most}")
    if any(each.pictures_per_row > LARGEST_CACHE // 2**20 for each in config.documents):
        raise ValueError("its pictures_per_row is too large")
    check_timesteps(config, layouts, there // 4)


def check_layouts(config: TrainConfig, layouts: Mapping[str, Layout]) -> None:
    """Raises ValueError where a timestep needs more than the agent has."""
    for task, layout in layouts.items():
        if layout.least_window > config.agent.window or layout.max_observation_tokens > config.agent.local_positions:
            raise ValueError(f"a timestep of {task} has {layout.max_tokens} tokens, more than its agent reads")


class WeightsFile:
    """The one checkpoint of an exported folder, read as those of a run are (`generalist.train.checkpoint`)."""

    def __init__(self, directory: Path, exported: Exported):
        self.directory, self.exported = directory, exported

    def __enter__(self) -> "WeightsFile":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def chosen(self, step: Which = None) -> int:
        """Its update. Raises CheckpointError where another is asked for."""
        there = self.exported
        if step not in (None, there.step) and not (step == "best" and there.best):
            asked = "the best" if step == "best" else f"update {step}"
            raise CheckpointError(
                f"{self.directory} is an export of update {there.step} alone, asked for is {asked}; leave out --step"
            )
        return there.step

    def restore_agent(self, step: int, agent_state: Any) -> Any:
        """The parameters, laid out as the (abstract) state on the mesh in use.

        Raises:
            CheckpointError: the file is damaged, or holds other parameters than the configuration says.
        """
        self.chosen(step)
        leaves = nnx.to_flat_state(agent_state)
        shapes = {name_of(path): tuple(leaf.get_value().shape) for path, leaf in leaves}
        with told_of(self.directory):
            if wrong := sorted({*shapes} ^ {*self.exported.digests}):
                raise ValueError(f"it has other parameters than its configuration says: {', '.join(wrong[:3])}")
            found = read_arrays(self.directory / WEIGHTS, shapes, self._check)
        mesh = jax.sharding.get_mesh()
        values = []
        for path, leaf in leaves:
            value, where = found[name_of(path)], NamedSharding(mesh, leaf.get_value().sharding.spec)
            values.append(jax.make_array_from_callback(value.shape, where, lambda index, value=value: value[index]))
        return jax.tree.unflatten(jax.tree.structure(agent_state), values)

    def _check(self, name: str, value: np.ndarray) -> None:
        if digest_of(value) != self.exported.digests[name]:
            raise ValueError(f"{name} is not what was written")
