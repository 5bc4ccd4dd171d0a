"""A trained agent for notebooks and evaluation: load it from a run directory, play it in any environment."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from generalist.agent.acting import make_act, make_prefill
from generalist.agent.attention_weights import attention_weights
from generalist.agent.compilation import keep_compilations
from generalist.agent.config import DecodeConfig, InputSizes
from generalist.agent.network import unstacked
from generalist.demonstrations.episode import Episode
from generalist.envs.files import write_atomically
from generalist.envs.html import html_table
from generalist.envs.table import family_of, find_task, find_tasks
from generalist.envs.task import GYM_PREFIX, Task
from generalist.play.attention_view import AttentionView
from generalist.play.environment_policy import EnvironmentPolicy
from generalist.play.films import Film, as_task, film
from generalist.play.policy import AgentPolicy, Player, as_batch, first_steps
from generalist.tokenizers.layout import Layout
from generalist.tokenizers.viewer import SequenceView
from generalist.train.adapt import adapt
from generalist.train.adaptation import AdaptConfig
from generalist.train.adapter import apply_adapter
from generalist.train.agent_fits import check_local_positions
from generalist.train.checkpoint import Which
from generalist.train.run import Run, read_run
from generalist.train.sources import input_sizes
from generalist.train.statistics import inherited, of_bounds, plain_layout
from generalist.train.trained_network import Dtype, computed_in, kept_in, trained_network
from generalist.train.transfer import kin


@dataclass(frozen=True)
class Agent:
    """One set of weights and the layouts of the tasks that it was trained on. `load` makes one.

    Args:
        run: configuration and layouts.
        sizes: what the network reads.
        graphdef, state: the network's structure and parameters.
        step: the update whose checkpoint this is.
        decode: how actions are chosen.
        explained: whether policies keep the probabilities of their last actions, as `chances` of `AgentPolicy`.

    Example:
        >>> import generalist, gymnasium
        >>> agent = generalist.load("runs/smoke")
        >>> agent
        Agent('runs/smoke', update 40, 2 tasks)
        >>> env = gymnasium.make("CartPole-v1")
        >>> policy = agent.policy(env)
        >>> observation, _ = env.reset(seed=0)
        >>> observation, reward, terminated, truncated, _ = env.step(policy(observation))
        >>> float(reward), terminated
        (1.0, False)

        A batch of environments at once:

        >>> envs = gymnasium.make_vec("FrozenLake8x8-v1", num_envs=3, vectorization_mode="sync")
        >>> policy = agent.policy(envs)
        >>> observations, _ = envs.reset(seed=0)
        >>> policy(observations).shape
        (3,)
        >>> envs.close()
    """

    run: Run
    sizes: InputSizes
    graphdef: nnx.GraphDef
    state: Any
    step: int
    decode: DecodeConfig = DecodeConfig()
    explained: bool = False

    def __repr__(self) -> str:
        where = self.run.name if self.run.exported else str(self.run.directory)
        return f"Agent({where!r}, update {self.step}, {len(self.tasks)} tasks)"

    @classmethod
    def load(
        cls,
        run: str | os.PathLike[str],
        *,
        step: Which = None,
        decode: DecodeConfig | None = None,
        adapter: str | os.PathLike[str] | None = None,
        dtype: Dtype | None = None,
    ) -> "Agent":
        """The agent of a run or an export; nothing but its folder is needed.

        Args:
            run: the directory, or the `Run` that `fit` gives; or the folder of an export, `pretrained:NAME`, or
                `hf:USER/NAME[@REVISION]` (docs/sharing.md).
            step: the checkpoint of this update, or "best" for the one of lowest loss on what is held out
                (where a run holds nothing out, of lowest training loss); the newest by default.
            decode: how actions are chosen; by default the likeliest discrete value and the mean of continuous ones, see
                `generalist.agent.config.DecodeConfig`.
            adapter: a file of `generalist adapter export`: what was trained on top of this run. The agent then plays
                the tasks of the adapter.
            dtype: in which it computes and keeps its matrices; as it was trained by default. bfloat16 is for
                accelerators: a CPU turns matrices back to multiply them, which takes more memory.

        Raises:
            FileNotFoundError: no run there, or no adapter.
            ValueError: the adapter was trained on another run, or is damaged.
            CheckpointError: a ValueError: no such checkpoint, a damaged one, or another vocabulary.

        Example:
            >>> import generalist
            >>> agent = generalist.load("runs/smoke")
            >>> agent.tasks
            ('CartPole-v1', 'FrozenLake8x8-v1')
            >>> agent.step
            40
            >>> generalist.load("runs/smoke", step=20).step
            20
        """
        found = read_run(run) if dtype is None else computed_in(read_run(run), dtype)
        if adapter is None:
            graphdef, state, chosen = trained_network(found, step, dtype)
        else:
            whole = apply_adapter(found, Path(adapter), step=step)
            found, graphdef, chosen = whole.run, whole.graphdef, whole.step
            state = whole.state if dtype is None else kept_in(whole.state, dtype)
        sizes = input_sizes(found.config, list(found.layouts.values()))
        graphdef, state = nnx.split(unstacked(nnx.merge(graphdef, state), consume=True))
        return cls(found, sizes, graphdef, state, chosen, decode or DecodeConfig())

    @property
    def tasks(self) -> tuple[str, ...]:
        """Ids of the tasks that it was trained on."""
        return tuple(self.run.layouts)

    @cached_property
    def player(self) -> Player:
        return Player(
            self.run.config.agent,
            self.sizes,
            self.state,
            make_act(self.graphdef, self.run.config.vocabulary, self.decode, self.explained),
            make_prefill(self.graphdef),
            self.decode,
        )

    def with_decode(self, decode: DecodeConfig) -> "Agent":
        return replace(self, decode=decode)

    def layout(self, what: str | Task | gym.Env | gym.vector.VectorEnv) -> tuple[Layout, int]:
        """The layout for a task or environment and its index among the trained tasks, -1 if it is none of them.

        An environment is recognised by its registered id, else by its spaces if they are those of one task alone. Any
        other gets a layout from its own spaces, with the options and statistics of the trained tasks that are nearest
        to it, as `generalist.train.statistics.relatives` says.

        Raises:
            ValueError: no task of this id, or the network has no embedder for what this environment shows.
        """
        layouts, names = list(self.run.layouts.values()), list(self.run.layouts)
        if isinstance(what, str | Task):
            name = what if isinstance(what, str) else what.id
            if name in names:
                return layouts[names.index(name)], names.index(name)
            task = find_task(what) if isinstance(what, str) else what
            with closing(task.make()) as env:
                return self._layout_of(env, task.family)
        return self._layout_of(what, None)

    def _layout_of(self, what: gym.Env | gym.vector.VectorEnv, family: str | None) -> tuple[Layout, int]:
        layouts, names = list(self.run.layouts.values()), list(self.run.layouts)
        if isinstance(what, gym.vector.VectorEnv):
            observation, action = what.single_observation_space, what.single_action_space
        else:
            observation, action = what.observation_space, what.action_space
        identity = what.spec.id if what.spec else None
        for index, name in enumerate(names):
            registered = name.removeprefix(GYM_PREFIX).rpartition(":")[2]
            if registered == identity and _same(layouts[index], observation, action):
                return layouts[index], index
        same = [index for index, layout in enumerate(layouts) if _same(layout, observation, action)]
        if len(same) == 1:
            return layouts[same[0]], same[0]
        if family is None and identity is not None:
            family = family_of(identity)
        return self._new_layout(observation, action, family), -1

    def _new_layout(self, observation: gym.Space, action: gym.Space, family: str | None) -> Layout:
        """Options and statistics of the nearest trained tasks (`generalist.train.statistics.relatives`)."""
        known = self.run.layouts
        layout = of_bounds(inherited(plain_layout(observation, action, family, known), None, family, known))
        layout.check_ranges()
        sizes, config = self.sizes, self.run.config.agent
        patch = (layout.options.patch_size, layout.options.channels)
        vector, tokens = layout.vector_values, layout.max_tokens
        for what, needed, readable, fits in (
            ("vectors of length", vector, sizes.vector_values, vector <= sizes.vector_values),
            ("patches of", patch, (sizes.patch_size, sizes.patch_channels), not layout.patch_count),
            ("whole images of", layout.image_shape, sizes.image_shape, not layout.image_count),
            ("actions of tokens", layout.answer_count, sizes.answers, layout.answer_count <= sizes.answers),
            ("timesteps of tokens", tokens, config.window, tokens <= config.window),
        ):
            if not fits and needed != readable:
                raise ValueError(
                    f"the environment shows {what} {needed}, this agent reads {readable}; "
                    "let it learn this one from demonstrations: generalist adapt, or Agent.adapt"
                )
        check_local_positions("this environment", layout, config)
        return layout

    def view(self, episode: Episode, steps: int = 3) -> SequenceView:
        """What the network reads of the first steps of an episode, position by position: `print` it, or let a notebook.

        Raises:
            ValueError: the agent was not trained on the episode's task.
        """
        layout, source = self.layout(episode.metadata.task_id)
        return SequenceView(first_steps(layout, source, episode, steps), layout.vocabulary, layout)

    def attention(self, episode: Episode, steps: int = 3) -> AttentionView:
        """What every position of the same sequence attends to, in every layer and head: let a notebook show it.

        Raises:
            ValueError: the agent was not trained on the episode's task.
        """
        view = self.view(episode, steps)
        layout, _ = self.layout(episode.metadata.task_id)
        batch = as_batch(self.sizes, layout, view.sequence)
        weights = attention_weights(nnx.merge(self.graphdef, self.state), batch)
        return AttentionView(np.asarray(weights)[:, 0], view)

    def adapt(
        self,
        tasks: str | Iterable[str],
        *,
        out: str | os.PathLike[str],
        data: str | os.PathLike[str] | None = None,
        resume: bool = False,
        overwrite: bool = False,
        quiet: bool = False,
        **how: Any,
    ) -> "Agent":
        """An agent that has learnt other tasks from few demonstrations, in a run directory of its own.

        Args:
            tasks: one or several, by id.
            out: the run directory.
            data: folder of the demonstrations; that of this agent's training by default.
            resume: go on from the newest checkpoint of `out`, or begin if there is none.
            overwrite: remove the run that is there.
            quiet: show no progress.
            **how: fields of `generalist.train.adaptation.AdaptConfig` and of its `TrainableConfig`: episodes, how
                ("full", "head", "lora", "embedding"), rank, keep, steps, learning_rate and others.

        Raises:
            ValueError: no task, an unknown one, too few demonstrations, settings that do not go together.
            TypeError: a setting that there is not, with the nearest ones.
            FileNotFoundError: no demonstrations of a task, with the command that collects them.
            FileExistsError: `out` holds a run, and neither resume nor overwrite was asked for.

        Example:
            >>> import generalist
            >>> _ = generalist.collect("Acrobot-v1", out="data", episodes=2)
            >>> agent = generalist.load("runs/smoke")
            >>> adapted = agent.adapt("Acrobot-v1", episodes=2, steps=4, out="runs/acrobot", quiet=True)
            >>> adapted.tasks
            ('CartPole-v1', 'FrozenLake8x8-v1', 'Acrobot-v1')
        """
        keep_compilations()
        if read_run(self.run.directory).config != self.run.config:
            raise ValueError(
                f"this agent has an adapter, which is not in {self.run.directory}: write both as one run (generalist "
                "adapter merge RUN FILE --out MERGED) and adapt that"
            )
        several = (tasks,) if isinstance(tasks, str) else tuple(tasks)
        run = adapt(
            self.run,
            several,
            AdaptConfig.of(**how),
            data=None if data is None else Path(data),
            out=Path(out),
            step=self.step,
            resume=resume,
            overwrite=overwrite,
            quiet=quiet,
        )
        return Agent.load(run, decode=self.decode)

    def policy(
        self,
        what: str | Task | gym.Env | gym.vector.VectorEnv,
        *,
        slots: int | None = None,
        prompts: Sequence[Episode] = (),
    ) -> EnvironmentPolicy:
        """A policy for an environment or task; for a vector environment it acts on whole batches of observations.

        A task that was not trained on is played with the mean embedding of the trained tasks of its family, of all
        where there are none.
        """
        layout, source = self.layout(what)
        vector = isinstance(what, gym.vector.VectorEnv)
        count = slots or (what.num_envs if vector else 1)
        player = self.player
        if source < 0:
            player, source = self._player_of_new(_name(what))
        policy = EnvironmentPolicy(AgentPolicy(player, layout, source, slots=count, prompts=prompts), vector=vector)
        policy.reset()
        return policy

    def play(self, what: str | Task | gym.Env, *, seed: int = 0, **how: Any) -> Film:
        """One episode as a film: let a notebook show it, or take its `animation` (WebP) and `result`.

        Args:
            what: a task, by id or as it is; or an environment that was made with render_mode="rgb_array", which stays
                open.
            seed: of the episode, and of drawn actions.
            **how: of `generalist.play.films.film`: width in pixels, frames, fps.

        Raises:
            ValueError: as `policy`; or an environment that does not draw.

        Example:
            >>> import generalist
            >>> film = generalist.load("runs/smoke").play("CartPole-v1", seed=1)
            >>> film.result.seed, film.animation[:4]
            (1, b'RIFF')
        """
        task = as_task(what) if isinstance(what, gym.Env) else find_tasks(what)[0]
        return film(task, self.policy(what).policy, seed, **how)

    def export_policy(self, task: str, path: str | os.PathLike[str]) -> int:
        """Write the policy of one task as a file that plays without this package; the bytes that were written.

        It is StableHLO for CPU, CUDA and TPU and any number of environments. `generalist.play.standalone.policy` plays
        it, a module that needs jax and numpy alone and may be copied. Actions are chosen as `decode` says.

        Raises:
            ValueError: there is no such task, or its policy cannot stand alone.
            WritingError: it cannot be written; nothing is left of it.

        Example:
            >>> import generalist
            >>> from generalist.play.standalone.policy import StandalonePolicy
            >>> _ = generalist.load("runs/smoke").export_policy("CartPole-v1", "cartpole.stablehlo")
            >>> policy = StandalonePolicy("cartpole.stablehlo")
            >>> policy.reset(0, seed=7)
            >>> policy.act([[0.1, 0.0, 0.05, 0.0]], [0])[0] in (0, 1)
            True
        """
        from generalist.play.standalone.program import packed

        content = packed(self.policy(task).policy, self.graphdef, task)
        write_atomically(Path(path), content)
        return len(content)

    def _repr_html_(self) -> str:
        """What it is, in a notebook."""
        families = Counter(family_of(task) for task in self.tasks)
        size = sum(leaf.size for leaf in jax.tree.leaves(self.state))
        rows = {
            "update": f"{self.step:,}",
            "parameters": f"{size:,}",
            "tasks": ", ".join(f"{name} ({count})" for name, count in families.items()) or "none",
            "texts": ", ".join(each.corpus for each in self.run.config.documents) or "none",
        }
        return html_table(f"Agent {self.run.name}", rows)

    def _player_of_new(self, task: str | None) -> tuple[Player, int]:
        """A player whose table of tasks has one row more, for a task that was not trained on, and that row's index."""
        if not self.run.config.agent.source_embedding:
            return self.player, -1
        state = dict(nnx.to_flat_state(self.state))
        rows = state["source", "rows"].get_value()
        mean = rows[np.array(kin(task, self.run.config))].mean(axis=0, keepdims=True)
        state["source", "rows"] = state["source", "rows"].replace(jnp.concatenate([rows, mean]))
        return replace(self.player, state=nnx.from_flat_state(state)), len(rows)


def _name(what: str | Task | gym.Env | gym.vector.VectorEnv) -> str | None:
    if isinstance(what, str | Task):
        return what if isinstance(what, str) else what.id
    return what.spec.id if what.spec else None


def _same(layout: Layout, observation: gym.Space, action: gym.Space) -> bool:
    return layout.observation_space == observation and layout.action_space == action
