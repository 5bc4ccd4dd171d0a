"""A baseline learns from the episodes that it is given and from no others."""

import numpy as np
import pytest
from tiny import demonstrations

from generalist.demonstrations.collect import collect
from generalist.demonstrations.storage import Demonstrations, dataset_folder
from generalist.eval.baselines import fitted, specialists
from generalist.eval.baselines.fit import NAMES, fit_baseline, steps_of
from generalist.eval.baselines.measure import measure_baselines

TASK = "CartPole-v1"


@pytest.fixture(scope="module")
def first_four(tmp_path_factory) -> Demonstrations:
    """The first four of the ten episodes, alone."""
    data = tmp_path_factory.mktemp("four")
    collect(TASK, data, seed=0, episodes=4, policy="random", workers=0, quiet=True)
    return Demonstrations.open(dataset_folder(data, TASK))


@pytest.fixture(scope="module")
def ten() -> Demonstrations:
    return Demonstrations.open(dataset_folder(demonstrations(), TASK))


def actions_of(policy, seen: np.ndarray) -> list[int]:
    policy.reset(0)
    return [int(policy.act([one], [0])[0]) for one in seen]


@pytest.mark.parametrize("name", NAMES)
def test_of_a_subset_it_is_the_one_of_a_data_set_of_that_subset(name, ten, first_four, monkeypatch):
    monkeypatch.setattr(specialists, "UPDATES", 20)
    np.testing.assert_array_equal(ten.returns[:4], first_four.returns)
    some, alone, all_ten = (
        fit_baseline(name, data, episodes) for data, episodes in ((ten, range(4)), (first_four, None), (ten, None))
    )
    assert (some.episodes, alone.episodes, all_ten.episodes) == (4, 4, 10)
    assert some.steps == alone.steps == first_four.columns().starts[-1] < all_ten.steps
    seen = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    assert actions_of(some.policy, seen) == actions_of(alone.policy, seen) != actions_of(all_ten.policy, seen)


def test_a_gru_says_of_how_many_episodes_it_has_its_steps(ten, monkeypatch):
    """How many values a step has is known only when they are read; then fewer episodes may fit."""
    monkeypatch.setattr(specialists, "UPDATES", 20)
    monkeypatch.setattr(fitted, "FIT_STEPS", 60)
    monkeypatch.setattr("generalist.eval.baselines.fit.most_steps", lambda space: 10**6)
    found, lengths = fit_baseline("gru", ten), ten.columns().lengths
    kept = fitted.whole_episodes(lengths, 60, 0)
    assert (found.episodes, found.steps) == (len(kept), lengths[kept].sum())


def test_all_baselines_of_a_task_are(first_four, ten):
    some = measure_baselines(TASK, ten.folder, [1, 2], np.arange(4), selection_episodes=1)
    alone = measure_baselines(TASK, first_four.folder, [1, 2], selection_episodes=1)
    for name in ("constant", "linear", "nearest_neighbour"):
        assert some[name].returns == alone[name].returns
        assert some[name].details["fitted_on"] == alone[name].details["fitted_on"] == first_four.columns().starts[-1]
        assert some[name].details["fitted_on_episodes"] == 4


def test_the_steps_of_episodes_are_theirs_in_their_order(ten):
    columns = ten.columns()
    starts = columns.starts
    assert steps_of(columns, [3, 1]).tolist() == [*range(*starts[3:5]), *range(*starts[1:3])]
    assert steps_of(columns).tolist() == list(range(starts[-1]))
    with pytest.raises(IndexError, match=r"has the episodes \[0, 10\), not \[3, 10\]"):
        steps_of(columns, [3, 10])


def test_what_cannot_be_fitted_is_said(ten):
    with pytest.raises(ValueError, match="there is no baseline 'mpl': did you mean mlp"):
        fit_baseline("mpl", ten)
    with pytest.raises(ValueError, match="needs at least one episode to learn from"):
        fit_baseline("linear", ten, [])
