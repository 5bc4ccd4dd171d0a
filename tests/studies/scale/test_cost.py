"""What a study costs before it starts, and how the estimate follows the runs that are done."""

from dataclasses import replace

import pytest
from tiny import CONFIG, demonstrations

from generalist.studies.scale.cost import ASSUMED_UTILISATION, Pace, make_plan
from generalist.studies.scale.grid import Grid
from generalist.train.describe import count_parameters
from generalist.train.flops import update_flops
from generalist.train.sources import input_sizes

GRID = Grid(sizes=("1", "1.5", "2"), tokens=(1000, 2000, 4000))


@pytest.fixture(scope="module")
def plan():
    return make_plan(CONFIG, GRID, demonstrations())


def test_flops_and_parameters_are_those_of_each_runs_own_agent(plan):
    sizes = input_sizes(CONFIG, list(plan.mixture.layouts.values()))
    assert len(plan.all) == 10
    assert plan.beyond is plan.all[-1]
    for point in plan.all:
        job = point.config
        assert plan.flops[point.name] == job.steps * update_flops(job.agent, sizes, plan.mixture.capacity, 4)
        counted = count_parameters(job, sizes)
        assert plan.parameters[job.agent] == sum(counted.values())
        assert plan.tables[job.agent] == counted["token table"] + counted["local positions"]
    assert plan.total_flops == sum(plan.flops.values())


def test_updates_are_tokens_by_the_measured_fill(plan):
    assert 0.5 < plan.tokens_per_update / (4 * 32) <= 1
    for point in plan.all:
        assert point.config.steps == round(point.tokens / plan.tokens_per_update)


def test_the_grid_alone(plan):
    assert make_plan(CONFIG, GRID, demonstrations(), grid_only=True).all == plan.points


def test_the_time_left_follows_the_runs_of_the_same_size(plan):
    pace = Pace(plan, peak=1e9)
    first, other = plan.points[0], plan.points[1]
    assert pace.left(plan.all) == pytest.approx(plan.total_flops / (ASSUMED_UTILISATION * 1e9))
    pace.trained(first, {"tokens": 1000, "tokens_per_second": 100, "seconds": 13.0})  # 10 s of updates, 3 of the rest
    pace.played(2.0)
    longer = next(point for point in plan.points[3:] if point.config.agent == first.config.agent)
    assert pace.left([longer]) == pytest.approx(10 * plan.flops[longer.name] / plan.flops[first.name] + 5)
    assert pace.left([other]) == pytest.approx(10 * plan.flops[other.name] / plan.flops[first.name] + 5)
    pace.trained(other, {"tokens": 1000, "tokens_per_second": 1000, "seconds": 4.0})
    assert pace.left([other]) == pytest.approx(1 + 5)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no demonstrations of CartPole-v1"):
        make_plan(replace(CONFIG), GRID, tmp_path)
