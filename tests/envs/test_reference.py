import json

import numpy as np
import pytest
import scipy.stats
from in_place import STEPS, in_place

from generalist.envs import reference
from generalist.envs.table import find_task
from generalist.envs.task import Reference


def test_a_file_of_scores_becomes_fields_of_a_task(tmp_path):
    scores = {"mean": 1.0, "std": 2.0, "episodes": 3, "first_seed": 4, "success": None, "versions": {"gymnasium": "1"}}
    path = tmp_path / "references.json"
    path.write_text(json.dumps({"CartPole-v1": {"random": scores}}))
    assert reference.load_references(path) == {"CartPole-v1": {"random_reference": Reference(**scores)}}


def test_no_file_no_references(tmp_path):
    assert reference.load_references(tmp_path / "nothing.json") == {}


def test_measuring_is_deterministic_and_agrees_with_the_file():
    task = find_task("CartPole-v1")
    again = reference.measure(task, "random", task.random_reference.episodes)
    assert again.mean == pytest.approx(task.random_reference.mean)
    assert again.std == pytest.approx(task.random_reference.std)
    assert again.success is None


def test_other_seeds_are_other_episodes():
    def measured(seed: int) -> Reference:
        return reference.measure(find_task("Pendulum-v1"), "random", 1, seed_of=lambda episode: seed + episode)

    assert measured(5).first_seed == 5
    assert measured(5).mean == measured(5).mean != measured(6).mean


def test_success_is_counted_by_episode():
    measured = reference.measure(find_task("CliffWalking-v1"), "expert", 2)
    assert (measured.mean, measured.std, measured.success) == (-13.0, 0.0, 1.0)


def test_length_and_time_of_an_episode_are_measured():
    measured = reference.measure(find_task("CliffWalking-v1"), "expert", 2)
    assert measured.length == 13
    assert 0 <= measured.seconds < 1


SCORES = {"episodes": 100, "first_seed": 0}


def measurement(stored, measured):
    return reference.Measurement(find_task("Taxi-v4"), "random", stored, Reference(**SCORES | measured))


@pytest.mark.parametrize(
    ("stored", "measured", "agrees"),
    [
        ({"mean": 5.0, "std": 0.0}, {"mean": 5.0, "std": 0.0}, True),
        ({"mean": 5.0, "std": 0.0}, {"mean": 5.1, "std": 0.0}, False),
        ({"mean": 5.0, "std": 1.0}, {"mean": 5.25, "std": 1.0}, True),
        ({"mean": 5.0, "std": 1.0}, {"mean": 5.35, "std": 1.0}, False),
    ],
)
def test_a_difference_is_judged_by_its_interval(stored, measured, agrees):
    assert measurement(Reference(**SCORES | stored), measured).agrees is agrees


def test_the_interval_is_welchs():
    """Against scipy's own, on samples with these moments."""
    rng = np.random.default_rng(0)
    one, other = rng.normal(0, 1, 30), rng.normal(0.5, 3, 12)
    scores = [Reference(mean=float(x.mean()), std=float(x.std()), episodes=len(x), first_seed=0) for x in (one, other)]
    gap, half = reference.Measurement(find_task("Taxi-v4"), "random", *scores).difference
    interval = scipy.stats.ttest_ind(other, one, equal_var=False).confidence_interval(0.95)
    assert (gap - half, gap + half) == pytest.approx((interval.low, interval.high))


def test_where_nothing_is_stored_nothing_is_said():
    new = measurement(None, {"mean": 1.0, "std": 0.0})
    assert new.difference is None
    assert new.agrees is None


def test_storing_keeps_the_other_rows_and_the_order(tmp_path):
    path = tmp_path / "references.json"
    path.write_text(json.dumps({"Taxi-v4": {"random": SCORES | {"mean": 0, "std": 1}}}))
    cliff = find_task("CliffWalking-v1")
    done = []
    orders = reference.orders_for([cliff], ("random", "expert"), 2)
    reference.measure_all(orders, workers=0, on_measured=done.append)
    for one in reversed(done):
        reference.store_reference(one, ["CliffWalking-v1", "Taxi-v4"], path)
    assert [line.split('"')[1] for line in path.read_text().splitlines()[1:-1]] == ["CliffWalking-v1", "Taxi-v4"]
    rows = reference.load_references(path)
    assert rows["Taxi-v4"] == {"random_reference": Reference(mean=0, std=1, **SCORES)}
    assert list(rows["CliffWalking-v1"]) == ["random_reference", "expert_reference"]
    assert rows["CliffWalking-v1"]["expert_reference"].mean == -13


def test_orders_take_the_stored_number_of_episodes_and_skip_what_has_no_expert():
    cart, free = find_task("CartPole-v1"), find_task("gym:CartPole-v1")
    orders = reference.orders_for([cart, free], ("random", "expert"))
    stored = cart.random_reference.episodes
    assert [(order.task.id, order.policy, order.episodes) for order in orders] == [
        ("CartPole-v1", "random", stored),
        ("CartPole-v1", "expert", cart.expert_reference.episodes),
        ("gym:CartPole-v1", "random", reference.EPISODES),
    ]


def test_workers_measure_the_same_and_report_progress():
    episodes, done = [], []
    task = find_task("Taxi-v4")
    reference.measure_all(
        reference.orders_for([task], ("expert",), 5),
        workers=1,
        on_measured=done.append,
        on_progress=lambda order, count, steps: episodes.append(count),
    )
    here = reference.measure(task, "expert", 5)
    assert sum(episodes) == 5
    assert (done[0].measured.mean, done[0].measured.length) == (here.mean, here.length)


def test_an_expert_s_action_that_the_environment_changes_is_given_again_as_it_was():
    measured = reference.measure(in_place(), "expert", 1, seed_of=lambda episode: 3)
    assert (measured.mean, measured.success) == (5.5 * STEPS, 1.0)
