"""Many clients in the slots of one step: each gets what it would alone, whatever the others do."""

import threading
from concurrent.futures import CancelledError

import gymnasium as gym
import numpy as np
import pytest
from serving import DRAWN, alone
from tiny import trained

from generalist.play.agent import Agent
from generalist.play.server.engine import Engine, FullError, Request

TASKS = ("CartPole-v1", "FrozenLake8x8-v1")
PATIENCE = 60


@pytest.fixture(scope="module")
def agent() -> Agent:
    return Agent.load(trained()).with_decode(DRAWN)


@pytest.fixture
def engine(agent):
    made = Engine(lambda task: agent, TASKS, slots=2, most=6)
    yield made
    made.close()


def asked(engine: Engine, task: str, seed: int, steps: int) -> list[int]:
    """The same by requests."""
    seat = engine.join(task)
    with gym.make(task) as env:
        seen, _ = env.reset(seed=seed)
        actions = []
        for step in range(steps):
            request = Request(observation=seen, reset=step == 0, seed=seed if step == 0 else None)
            actions.append(int(engine.ask(seat, request).result(PATIENCE).actions[0]))
            seen, _, ended, _, _ = env.step(actions[-1])
            if ended:
                break
    engine.leave(seat)
    return actions


def test_clients_side_by_side_get_what_each_would_alone(agent, engine):
    """Six at tables of two slots, of both tasks; actions are drawn, so that a wrong seed or past would be seen."""
    jobs = [(TASKS[number % 2], number, 8) for number in range(6)]
    found: dict[int, list[int]] = {}

    def play(number: int) -> None:
        found[number] = asked(engine, *jobs[number])

    threads = [threading.Thread(target=play, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [found[number] for number in range(6)] == [alone(agent, *job) for job in jobs]
    assert any(len(set(actions)) > 1 for actions in found.values())


def test_a_slot_that_is_given_back_begins_anew(agent, engine):
    first = asked(engine, "CartPole-v1", 3, 6)

    assert asked(engine, "CartPole-v1", 3, 6) == first == alone(agent, "CartPole-v1", 3, 6)


def test_a_client_that_does_not_ask_holds_up_nobody(agent, engine):
    silent = engine.join("CartPole-v1")
    engine.ask(silent, Request(observation=np.zeros(4))).result(PATIENCE)

    assert asked(engine, "CartPole-v1", 5, 6) == alone(agent, "CartPole-v1", 5, 6)
    engine.leave(silent)


def test_who_waits_is_answered_together(agent):
    steps = []
    engine = Engine(lambda task: agent, TASKS, slots=4, on_step=lambda together, seconds: steps.append(together))
    seats = [engine.join("CartPole-v1") for _ in range(4)]
    going = threading.Event()
    slow = engine._tables[0].policy
    act = slow.act
    slow.act = lambda *given: (going.wait(PATIENCE), act(*given))[1]  # the first step lasts until all have asked
    answers = [engine.ask(seat, Request(observation=np.zeros(4))) for seat in seats]
    going.set()

    together = [answer.result(PATIENCE).together for answer in answers]
    engine.close()

    assert sum(steps) == 4
    assert len(steps) <= 2
    assert max(together) >= 3


@pytest.mark.parametrize(
    "request_",
    [
        Request(observation=np.zeros(3)),
        Request(observation=np.full(4, np.nan)),
        Request(observation=np.zeros(4), seed=-1),
    ],
    ids=["shape", "nan", "seed"],
)
def test_a_wrong_request_costs_its_client_an_error_and_nobody_else(agent, engine, request_):
    wrong, right = engine.join("CartPole-v1"), engine.join("CartPole-v1")
    bad, good = engine.ask(wrong, request_), engine.ask(right, Request(observation=np.zeros(4)))

    with pytest.raises(ValueError, match=r"observation|seed"):
        bad.result(PATIENCE)
    assert good.result(PATIENCE).actions[0] in (0, 1)
    assert engine.ask(wrong, Request(observation=np.zeros(4))).result(PATIENCE).actions[0] in (0, 1)


def test_a_fault_of_the_step_is_borne_by_who_made_it(agent, engine):
    """Nothing is known to pass the checks and fail in the step; if something does, the others go on."""
    seats = [engine.join("CartPole-v1") for _ in range(2)]
    policy = engine._tables[0].policy
    act = policy.act

    def faulty(observations, active):
        if any(observation[0] == 7 for observation in observations):
            raise RuntimeError("seven")
        return act(observations, active)

    policy.act = faulty
    answers = [
        engine.ask(seats[0], Request(observation=[7, 0, 0, 0])),
        engine.ask(seats[1], Request(observation=[0] * 4)),
    ]

    with pytest.raises(RuntimeError, match="seven"):
        answers[0].result(PATIENCE)
    assert answers[1].result(PATIENCE).actions[0] in (0, 1)


def test_whatever_a_request_does_to_its_reading_the_thread_goes_on(agent, engine, monkeypatch):
    def fail(*_):
        raise TypeError("of no kind that is known")

    seat = engine.join("CartPole-v1")
    with monkeypatch.context() as patch:
        patch.setattr("generalist.play.server.engine.member_of", fail)
        with pytest.raises(TypeError, match="no kind"):
            engine.ask(seat, Request(observation=np.zeros(4))).result(PATIENCE)

    assert engine.ask(seat, Request(observation=np.zeros(4))).result(PATIENCE).actions[0] in (0, 1)


def test_a_request_that_was_given_up_is_not_played(agent, engine):
    seat = engine.join("CartPole-v1")
    policy = engine._tables[0].policy
    act, going = policy.act, threading.Event()
    policy.act = lambda *given: (going.wait(PATIENCE), act(*given))[1]
    first = engine.ask(seat, Request(observation=np.zeros(4)))
    second = engine.ask(seat, Request(observation=np.zeros(4)))
    assert second.cancel()
    going.set()

    assert first.result(PATIENCE).actions
    with pytest.raises(CancelledError):
        second.result(PATIENCE)
    assert engine.ask(seat, Request(observation=np.zeros(4))).result(PATIENCE).actions
    assert policy.step[seat.slot] == 2


def test_more_clients_than_are_taken_are_refused_and_a_place_that_is_free_is_taken_again(engine):
    seats = [engine.join("CartPole-v1") for _ in range(6)]
    with pytest.raises(FullError, match="6 clients"):
        engine.join("CartPole-v1")
    engine.leave(seats[0])
    engine.ask(seats[1], Request(observation=np.zeros(4))).result(PATIENCE)

    assert engine.join("CartPole-v1").slot == seats[0].slot
    assert engine.clients == 6


def test_a_task_that_is_not_served_is_refused_with_the_nearest(engine):
    with pytest.raises(ValueError, match="CartPole-v1"):
        engine.join("CartPole-v0")


def test_what_was_asked_is_answered_before_it_ends(agent):
    engine = Engine(lambda task: agent, TASKS, slots=2)
    seat = engine.join("CartPole-v1")
    answers = [engine.ask(seat, Request(observation=np.zeros(4))) for _ in range(3)]
    engine.close()

    assert all(answer.result(0).actions[0] in (0, 1) for answer in answers)
