"""Parameters pass from one run to another by meaning, not by shape.

The embedding of a task goes by the task's id, rows of the token table by what their ids mean, rows of the vector
embedder and of positions by their place. The trunk must have the same shape. What is new here begins by a rule that is
stated below; what is new or left over is listed, and must be allowed by the name of its part.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from generalist.agent.config import InputSizes
from generalist.agent.network import table_rows
from generalist.envs.names import nearest
from generalist.envs.table import family_of
from generalist.train.checkpoint import CheckpointError
from generalist.train.config import TrainConfig

PARTS = ("tokens", "local", "source", "patch", "vector", "image", "answer")
"""Parts that may differ between two runs, named as in the network: rows of tables, or whole embedders."""

NewTasks = Literal["mean", "random"] | Mapping[str, str]
"""How the embedding of a new task begins: as the mean of those of its family (of all where there is none), drawn as at
birth, or as that of a trained task, by id; the mean for those that are not named.
"""


@dataclass(frozen=True)
class Side:
    """What the parameters of a run mean.

    Args:
        config: of the run.
        sizes: what its network reads.
        text: version of its text tokenizer.
        visual: version of its visual tokenizer; None where no picture is written.
    """

    config: TrainConfig
    sizes: InputSizes
    text: str
    visual: str | None = None


@dataclass(frozen=True)
class Travelled:
    """What did not simply pass, in words, by part: `new` here, or `left` over there."""

    new: Mapping[str, str] = field(default_factory=dict)
    left: Mapping[str, str] = field(default_factory=dict)

    @property
    def lines(self) -> list[str]:
        """One for each part."""
        return [f"{part}: new: {what}" for part, what in self.new.items()] + [
            f"{part}: left over: {what}" for part, what in self.left.items()
        ]


Fill = Literal["born", "zero", "mean", "alike"]


@dataclass(frozen=True, eq=False)
class _Rows:
    """How one array is made: row i from row `take[i]` of the old one, or, where that is -1, as `fill` says.

    Args:
        fill: "born" keeps what this run was born with, "zero" is 0, "mean" the mean of the old rows `of[i]`, "alike"
            what this run was born with, shifted and scaled so that each column has the mean and spread of the old rows
            that are taken.
    """

    take: np.ndarray
    fill: Fill = "born"
    of: tuple[tuple[int, ...], ...] = ()

    def __call__(self, new: jax.Array, old: jax.Array) -> jax.Array:
        taken = jnp.take(old, np.maximum(self.take, 0), axis=0)
        begun = new if self.fill == "born" else jnp.zeros_like(new)
        if self.fill == "alike":
            there = jnp.take(old, self.take[self.take >= 0], axis=0)
            begun = (new - new.mean(axis=0, keepdims=True)) / new.std(axis=0, keepdims=True)
            begun = there.mean(axis=0, keepdims=True) + there.std(axis=0, keepdims=True) * begun
        if self.fill == "mean":
            mixing = np.zeros((len(self.take), old.shape[0]), np.float32)
            for row, members in enumerate(self.of):
                mixing[row, list(members)] = 1 / max(len(members), 1)
            begun = jnp.matmul(jnp.asarray(mixing), old, precision="highest")  # else TF32 on some devices
        known = (self.take >= 0).reshape(-1, *(1,) * (new.ndim - 1))
        return jnp.where(known, taken, begun).astype(new.dtype)


def check_allowed(allow: Iterable[str]) -> None:
    """Raises ValueError for a name that is no part, with the nearest."""
    for name in allow:
        if name not in PARTS:
            raise ValueError(f"{name!r} is no part that may be new or left over: {nearest(name, PARTS)}")


Rule = Callable[[jax.Array, jax.Array], jax.Array]
"""From this run's new array and the other's to what this one begins with."""


@dataclass(frozen=True)
class Plan:
    """By path, how each array comes over, and what does not; an array without a rule keeps what it was born with."""

    rules: Mapping[tuple, Rule]
    travelled: Travelled


def plan(
    born: Any, here: Side, old: Any, there: Side, *, allow: Iterable[str], new_tasks: NewTasks = "mean", name: str = ""
) -> Plan:
    """How the parameters of another run's network come over to this one's. Both states may be abstract.

    What is new keeps what it was born with, or begins as the rules say: a wider vector's new values have weight 0, so
    that they change nothing at first; a bin of another number of bins is the nearest one.

    Args:
        born, old: states of this network and of the other.
        allow: parts in which something may be new or left over.
        name: of the other run, for errors.

    Raises:
        CheckpointError: another trunk, with the parameters and both shapes; or something new or left over that is not
            allowed, with all of it.
    """
    notes = _Notes()
    rows = _row_rules(here, there, new_tasks, notes)
    ours, theirs = (_plain(state) for state in (born, old))
    agents, rules = (here.config.agent, there.config.agent), {}
    unfit = []
    for size in ("heads", "head_size", "trunk"):  # of the first two, their product alone is in the shapes
        ours_is, theirs_is = (getattr(each, size) for each in agents)
        if ours_is != theirs_is:
            unfit.append(f"agent.{size} is {theirs_is} there, {ours_is} here")
    for path in ours:
        part, key = _part(path), _dotted(path)
        if path not in theirs:
            notes.new(part, key)
            if (begun := rows.get(key)) is _nothing:  # the only rule that reads nothing of theirs
                rules[path] = begun
            continue
        new, given = (side[path].get_value().shape for side in (ours, theirs))
        rule = rows.get(key) if new[1:] == given[1:] else None
        if rule is None and new != given and part in ("patch", "image"):
            notes.new(part, f"{key} of {_shape(new)}")
            notes.left(part, f"{key} of {_shape(given)}")
        elif rule is None and new != given:
            unfit.append(f"{key} is {_shape(given)} there, {_shape(new)} here")
        else:
            rules[path] = rule or _whole
    for path in theirs.keys() - ours.keys():
        notes.left(_part(path), _dotted(path))
    _refuse(unfit, notes.travelled, set(allow), name)
    return Plan(rules, notes.travelled)


def _plain(state: Any) -> dict[tuple, nnx.Variable]:
    """The parameters of a network by path; what LoRA adds is no part of it and begins as nothing."""
    return {path: leaf for path, leaf in nnx.to_flat_state(state) if not isinstance(leaf, nnx.LoRAParam)}


def travel(born: Any, old: Any, planned: Plan) -> Any:
    """The state of a network with the parameters of another, on the same mesh, as was planned."""
    ours, theirs = (dict(nnx.to_flat_state(state)) for state in (born, old))
    for path, rule in planned.rules.items():
        value = ours[path].get_value()
        place = jax.jit(rule, out_shardings=value.sharding)
        given = theirs[path].get_value() if path in theirs else None
        ours[path].set_value(place(value, given))
    return nnx.from_flat_state(ours)


def _whole(new: jax.Array, old: jax.Array) -> jax.Array:
    return old.astype(new.dtype)


def _nothing(new: jax.Array, _: jax.Array | None) -> jax.Array:
    return jnp.zeros_like(new)


def _as_born(new: jax.Array, _: jax.Array | None) -> jax.Array:
    return new


def _row_rules(here: Side, there: Side, new_tasks: NewTasks, notes: "_Notes") -> dict[str, Callable]:
    """The rules of arrays whose rows mean something, by dotted path."""
    same = (here.text, here.visual) == (there.text, there.visual) and here.config.vocabulary == there.config.vocabulary
    rules: dict[str, Callable] = {"tokens.rows": _whole if same else _token_rows(here, there, notes)}
    if not here.config.agent.trunk.tied:
        rules["head.rows"] = rules["tokens.rows"]
    if there.config.vocabulary.text_alone and here.config.agent.source_embedding:
        rules["source.rows"] = _nothing
    if here.config.agent.source_embedding and there.config.agent.source_embedding:
        rules["source.rows"] = _task_rows(here, there, new_tasks, notes)
    agents = here.config.agent, there.config.agent
    ours, theirs = agents[0].patch_positions, agents[1].patch_positions
    counted: dict[str, tuple[str, str, int, int, Fill]] = {
        "local.rows": ("local", "positions", agents[0].local_positions, agents[1].local_positions, "born"),
        "patch.rows.rows": ("patch", "row positions", ours, theirs, "born"),
        "patch.columns.rows": ("patch", "column positions", ours, theirs, "born"),
    }
    if here.sizes.vector_values and there.sizes.vector_values:
        values = here.sizes.vector_values, there.sizes.vector_values
        counted["vector.hidden.kernel"] = ("vector", "values of the longest vector", *values, "zero")
    if here.sizes.answers and there.sizes.answers:
        answers = here.sizes.answers, there.sizes.answers
        counted["answer.parts.rows"] = ("answer", "tokens of the longest action", *answers, "born")
    if there.config.vocabulary.text_alone:
        rules["local.rows"] = _as_born
        del counted["local.rows"]
    for key, (part, what, ours, theirs, fill) in counted.items():
        rules[key] = _Rows(_first(ours, theirs), fill)
        if ours > theirs and not (part == "patch" and not here.sizes.patch_size):
            notes.new(part, f"{what} {theirs} to {ours - 1}")
        if theirs > ours and not (part == "patch" and not there.sizes.patch_size):
            notes.left(part, f"{what} {ours} to {theirs - 1}")
    return rules


def _first(ours: int, theirs: int) -> np.ndarray:
    return np.where(np.arange(ours) < theirs, np.arange(ours), -1)


def _task_rows(here: Side, there: Side, new_tasks: NewTasks, notes: "_Notes") -> _Rows:
    ours, theirs = here.config.names, there.config.names
    take = np.array([theirs.index(task) if task in theirs else -1 for task in ours])
    if new := [task for task in ours if task not in theirs]:
        notes.new("source", ", ".join(new))
    if left := [task for task in theirs if task not in ours]:
        notes.left("source", ", ".join(left))
    if new_tasks == "random":
        return _Rows(take)
    return _Rows(take, "mean", tuple(_begun_as(task, new_tasks, there.config) for task in ours))


def _begun_as(task: str, new_tasks: NewTasks, config: TrainConfig) -> tuple[int, ...]:
    """Indices of the trained tasks whose mean a new one begins with."""
    if isinstance(new_tasks, Mapping) and (like := new_tasks.get(task)) is not None:
        if like not in config.names:
            raise ValueError(f"{task} is to begin as {like!r}, which was not trained: {nearest(like, config.names)}")
        return (config.names.index(like),)
    return kin(task, config)


def kin(task: str | None, config: TrainConfig) -> tuple[int, ...]:
    """Indices of the trained tasks of a task's family; of all where there is none, or the task has no name."""
    tasks = range(len(config.sources))
    same = tuple(index for index in tasks if task and family_of(config.names[index]) == family_of(task))
    return same or tuple(tasks) or tuple(range(len(config.names)))


def _token_rows(here: Side, there: Side, notes: "_Notes") -> _Rows:
    ours, theirs = here.config.vocabulary, there.config.vocabulary
    take = np.full(table_rows(here.sizes), -1)
    if theirs.text_alone:
        take[: theirs.text_size] = np.arange(theirs.text_size)
        notes.new("tokens", f"{ours.size - theirs.text_size} ids that are no text, like theirs in mean and spread")
        return _Rows(take, "alike")

    def fill(name: str, at: tuple[int, int], old: tuple[int, int], rows: np.ndarray, what: str) -> None:
        """`rows` of the old range, -1 for new ones, stand in this range."""
        take[slice(*at)] = np.where(rows >= 0, old[0] + rows, -1)
        if (rows < 0).any():
            notes.new("tokens", f"{int((rows < 0).sum())} {what} {name}")
        if missing := (old[1] - old[0]) - len(set(rows[rows >= 0].tolist())):
            notes.left("tokens", f"{missing} {what} {name}")

    sizes = [(each[1] - each[0]) for each in (ours.text, theirs.text)]
    same = here.text == there.text
    fill("ids", ours.text, theirs.text, _first(*sizes) if same else np.full(sizes[0], -1), "text")
    centres = np.floor((np.arange(ours.bins) + 0.5) / ours.bins * theirs.bins).astype(int)
    take[slice(*ours.continuous)] = theirs.continuous[0] + centres
    if ours.bins != theirs.bins:
        notes.new("tokens", f"{ours.bins} bins, each the nearest of {theirs.bins}")
    fill("values", ours.discrete, theirs.discrete, _first(ours.discrete_size, theirs.discrete_size), "discrete")
    take[slice(*ours.specials)] = np.arange(*theirs.specials)
    alike = theirs.visual_size if here.visual == there.visual else 0
    fill("ids", ours.visual, theirs.visual, _first(ours.visual_size, alike), "picture")
    return _Rows(take)


class _Notes:
    """What is new and what is left over, in the order in which it is found."""

    def __init__(self):
        self._new: dict[str, list[str]] = {}
        self._left: dict[str, list[str]] = {}

    def new(self, part: str, what: str) -> None:
        self._new.setdefault(part, []).append(what)

    def left(self, part: str, what: str) -> None:
        self._left.setdefault(part, []).append(what)

    @property
    def travelled(self) -> Travelled:
        return Travelled(
            {part: _shortened(found) for part, found in self._new.items()},
            {part: _shortened(found) for part, found in self._left.items()},
        )


def _shortened(found: list[str], most: int = 6) -> str:
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more


def _refuse(unfit: list[str], found: Travelled, allow: set[str], name: str) -> None:
    if unfit:
        raise CheckpointError(
            f"{name} holds another network than is asked for: {_shortened(sorted(unfit), 3)}; take its width, layers, "
            "heads and other sizes (agent in its config.json)"
        )
    asked = [part for part in dict.fromkeys([*found.new, *found.left]) if part not in allow]
    if not asked:
        return
    lines = [line for line in found.lines if line.partition(":")[0] in asked]
    unknown = [part for part in asked if part not in PARTS]
    advice = (
        f"allow it: {' '.join(f'--allow {part}' for part in asked)}" if not unknown else "its trunk has other parts"
    )
    raise CheckpointError(f"not all parameters of {name} have their place here ({'; '.join(lines)}): {advice}")


def _part(path: tuple) -> str:
    return str(path[1] if path[0] == "transformer" else path[0])


def _dotted(path: tuple) -> str:
    return ".".join(str(part) for part in path)


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
