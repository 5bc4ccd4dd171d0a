"""Many clients' episodes in the slots of few compiled steps: whoever waits is acted for together.

One thread runs the network. While a step runs, requests gather; the next step takes one of every client that has asked,
so a client that is slow holds up nobody, and one that is fast waits for one step at most. What a task needs compiled is
compiled by the thread of the client that asks for it first.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import numpy as np

from generalist.envs.names import nearest
from generalist.play.agent import Agent
from generalist.play.policy import AgentPolicy
from generalist.play.server.observations import member_of


class FullError(ValueError):
    """As many clients as the server takes are connected."""


@dataclass(eq=False)
class Table:
    """The slots of one policy of one task; `lent` are those of clients."""

    task: str
    policy: AgentPolicy
    lent: set[int] = field(default_factory=set)

    @property
    def free(self) -> list[int]:
        return [slot for slot in range(self.policy.slots) if slot not in self.lent]


@dataclass(eq=False)
class Seat:
    """A client's slot, from `Engine.join` to `Engine.leave`; its first request begins an episode."""

    table: Table
    slot: int
    begun: bool = False


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a client asks for: the actions after an observation.

    Args:
        reset: the observation is the first of an episode.
        seed: of that episode, on which drawn actions depend; the server chooses one by default.
        reward: what the last action brought; an agent that is shown its return needs it.
        played: the action that was really taken at the timestep before, where it was another than the one given.
    """

    observation: Any
    reset: bool = False
    seed: int | None = None
    reward: float | None = None
    played: Any = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Actions in the order in which they are played, and how long they took.

    Args:
        waited: seconds until the step began.
        seconds: the step itself, of all that were acted for together.
        together: how many these were.
        chances: [tokens of an action, legal values] probabilities of the first action; None where the agent keeps none.
    """

    actions: list[Any]
    waited: float
    seconds: float
    together: int
    chances: np.ndarray | None = None


@dataclass(eq=False)
class _Asked:
    seat: Seat
    request: Request | None
    answer: Future
    since: float = field(default_factory=time.perf_counter)


class Engine:
    """Serves one agent.

    Args:
        agent_of: the agent as it plays a task, its way of choosing actions set.
        tasks: ids of the tasks that are served.
        slots: clients of a task that are acted for in one compiled step; more sit at further tables.
        most: clients in all.
        on_step: called after every step with how many were acted for and its seconds.
        task_of: the task of what is served by a name, where names are of more than tasks.
    """

    def __init__(
        self,
        agent_of: Callable[[str], Agent],
        tasks: tuple[str, ...],
        *,
        slots: int = 16,
        most: int = 1024,
        on_step: Callable[[int, float], None] = lambda together, seconds: None,
        task_of: Callable[[str], str] = str,
    ):
        self.agent_of, self.tasks, self.slots, self.most, self.on_step = agent_of, tasks, slots, most, on_step
        self.task_of = task_of
        self._tables: list[Table] = []
        self._seats = threading.Lock()
        self._compiling = {task: threading.Lock() for task in tasks}
        self._asked: SimpleQueue[_Asked | None] = SimpleQueue()
        self._episodes = 0
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @property
    def clients(self) -> int:
        with self._seats:
            return sum(len(table.lent) for table in self._tables)

    def join(self, task: str) -> Seat:
        """A slot for a client, at a new table where those that there are have none.

        The first of a table waits until its step is compiled, and so do others of its task that come meanwhile.

        Raises:
            ValueError: the task is not served, with the nearest.
            FullError: a ValueError; no more clients are taken.
        """
        if (seat := self.sit(task)) is not None:
            return seat
        with self._compiling[task]:
            if (seat := self.sit(task)) is None:
                table = Table(task, self._compiled(task))
                table.lent.add(0)
                with self._seats:
                    self._tables.append(table)
                seat = Seat(table, 0)
        return seat

    def sit(self, task: str) -> Seat | None:
        """A slot for a client at a table that there is, at once; None if there is no free one. Raises as `join`."""
        if task not in self._compiling:
            raise ValueError(f"the task {task!r:.200} is not served here; {nearest(str(task)[:200], self.tasks)}")
        with self._seats:
            if sum(len(table.lent) for table in self._tables) >= self.most:
                raise FullError(
                    f"{self.most} clients are connected, which is all that this server takes; try again later"
                )
            for table in self._tables:
                if table.task == task and (free := table.free):
                    table.lent.add(free[0])
                    return Seat(table, free[0])
        return None

    def _compiled(self, task: str) -> AgentPolicy:
        """A policy whose steps have run, with observations of the space; its first episodes begin afterwards."""
        policy = self.agent_of(task).policy(self.task_of(task), slots=self.slots).policy
        seen = policy.layout.observation_space.sample()
        for _ in range(2):  # the second shows no text, which is another step
            policy.receive([0.0], [0])
            policy.act([seen], [0])
            policy.rest_of_chunk(0)
        policy.reset(0)
        return policy

    def ask(self, seat: Seat, request: Request) -> "Future[Answer]":
        """The answer, once its step has run. Its exception is a ValueError where the request was wrong."""
        asked = _Asked(seat, request, Future())
        self._asked.put(asked)
        return asked.answer

    def leave(self, seat: Seat) -> None:
        """Give the slot back, after whatever was asked of it."""
        self._asked.put(_Asked(seat, None, Future()))

    def close(self) -> None:
        """Answer what was asked, and end."""
        self._asked.put(None)
        self._thread.join()

    def _run(self) -> None:
        over, later = False, []
        while not (over and not later):
            asked, later = later, []
            while not asked or not self._asked.empty():
                if (one := self._asked.get()) is None:
                    over = True
                    break
                asked.append(one)
            now: dict[Seat, _Asked] = {}
            for one in asked:  # a client's second request waits for its first
                if one.seat in now:
                    later.append(one)
                else:
                    now[one.seat] = one
            for table in {id(one.seat.table): one.seat.table for one in now.values()}.values():
                self._serve(table, [one for one in now.values() if one.seat.table is table])

    def _serve(self, table: Table, asked: list[_Asked]) -> None:
        ready, observations = [], []
        for one in asked:
            if one.request is None:
                with self._seats:
                    table.lent.discard(one.seat.slot)
                continue
            if not one.answer.set_running_or_notify_cancel():
                continue
            try:
                observations.append(self._prepared(table.policy, one.seat, one.request))
                ready.append(one)
            except Exception as error:  # whatever it is, this thread is everybody's
                one.answer.set_exception(error)
        if ready:
            self._step(table.policy, ready, observations)

    def _prepared(self, policy: AgentPolicy, seat: Seat, request: Request) -> Any:
        """The observation, after everything that a client can get wrong was looked at and before anything changes."""
        layout, slot = policy.layout, seat.slot
        observation = member_of(layout.observation_space, request.observation, "observation")
        first = request.reset or not seat.begun
        if request.seed is not None and not 0 <= request.seed < 2**32:
            raise ValueError(f"the seed must be from 0 to 2**32 - 1, got {request.seed}")
        if not first and policy.target is not None and request.reward is None:
            raise ValueError(
                "this agent is shown what its episode will still return: send the reward of its last action"
            )
        if not first and request.played is not None:
            played = _action_of(layout.action_space, request.played)
            policy.correct([played], [slot])
        if first:
            self._episodes += 1
            policy.reset(slot)
            policy.seed[slot] = self._episodes % 2**32 if request.seed is None else request.seed
            seat.begun = True
        elif request.reward is not None:
            policy.receive([request.reward], [slot])
        return observation

    def _step(self, policy: AgentPolicy, asked: list[_Asked], observations: list[Any]) -> None:
        """Act for all; if that fails, for each alone, so that whose fault it is bears it alone."""
        begun = time.perf_counter()
        slots = [one.seat.slot for one in asked]
        try:
            first = policy.act(observations, slots)
            actions = [[action, *policy.rest_of_chunk(slot)] for slot, action in zip(slots, first, strict=True)]
        except Exception as error:
            if len(asked) == 1:
                asked[0].answer.set_exception(error)
                return
            for one, observation in zip(asked, observations, strict=True):
                self._step(policy, [one], [observation])
            return
        seconds = time.perf_counter() - begun
        self.on_step(len(asked), seconds)
        for one, chosen in zip(asked, actions, strict=True):
            chances = None if policy.chances is None else policy.chances[one.seat.slot]
            taken = {"waited": begun - one.since, "seconds": seconds, "together": len(asked)}
            one.answer.set_result(Answer(actions=chosen, chances=chances, **taken))


def _action_of(space: Any, sent: Any) -> Any:
    """An action that a client says was played; raises ValueError where the space has no such action."""
    action = member_of(space, sent, "played")
    if not space.contains(action):
        raise ValueError(f"`played` is no action of {space}: {np.asarray(sent)!r:.80}")
    return action
