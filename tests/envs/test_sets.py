from dataclasses import replace

import pytest

from generalist.configs import quickstart
from generalist.envs import gato_control
from generalist.envs.sets import MOST_EPISODES, MOST_SECONDS, SETS, has_good_expert, task_set
from generalist.envs.table import all_tasks
from generalist.envs.task import Reference, UnknownTask


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("quickstart", 18),
        ("metaworld/mt10", 10),
        ("metaworld/mt50", 50),
        ("metaworld/ml10-train", 10),
        ("metaworld/ml10-test", 5),
        ("metaworld/ml45-train", 45),
        ("metaworld/ml45-test", 5),
        ("libero/spatial", 10),
        ("libero/object", 10),
        ("libero/goal", 10),
        ("libero/10", 10),
        ("libero/90", 90),
        ("babyai/all", 96),
        ("babyai/symbolic", 96),
        ("dmc/all", 51),
        ("atari/57", 57),
    ],
)
def test_a_set_has_as_many_tasks_as_its_name_promises(name, count):
    ids = [task.id for task in task_set(name)]
    assert len(set(ids)) == len(ids) == count


def test_metaworlds_sets_are_those_of_metaworld():
    from metaworld.env_dict import ML10_V3, ML45_V3, MT10_V3, MT50_V3

    def names(name: str) -> set[str]:
        return {task.id.removeprefix("metaworld/") for task in task_set(name)}

    assert names("metaworld/mt10") == set(MT10_V3)
    assert names("metaworld/mt50") == set(MT50_V3)
    for number, theirs in (("10", ML10_V3), ("45", ML45_V3)):
        for part in ("train", "test"):
            assert names(f"metaworld/ml{number}-{part}") == set(theirs[part])


def test_every_set_can_be_listed():
    known = {task.id for task in all_tasks()}
    for name in SETS:
        assert {task.id for task in task_set(name)} <= known


def test_an_unknown_set_names_the_nearest():
    with pytest.raises(UnknownTask, match=r"unknown task set 'metaworld/mt5': .*metaworld/mt50"):
        task_set("metaworld/mt5")


def test_the_quickstart_trains_on_its_set():
    assert set(quickstart.WEIGHTS) == {task.id for task in task_set("quickstart")}


def test_local_has_one_view_of_each_environment_and_good_experts_only():
    local = task_set("local")
    assert all(map(has_good_expert, local))
    assert not [task.id for task in local if task.id.startswith(("babyai_symbolic", "dm_control_pixels"))]
    assert {"classic_control", "toy_text", "metaworld", "babyai"} <= {task.family for task in local}


def test_scripted_libero_is_what_a_script_does_well_of_the_four_smaller_suites():
    suites = {"libero_spatial", "libero_object", "libero_goal", "libero_10"}
    scripted = task_set("libero/scripted")
    assert {task.family for task in scripted} == suites
    others = [task for suite in suites for task in task_set(suite.replace("_", "/")) if task not in scripted]
    assert all(map(has_good_expert, scripted))
    assert others
    assert not any(map(has_good_expert, others))


@pytest.mark.parametrize(
    ("score", "expert", "good"),
    [
        ("return", {"mean": 2.0, "success": 0.95}, True),
        ("return", {"mean": 0.5, "success": 0.95}, False),
        ("return", {"mean": 2.0, "success": 0.85}, False),
        ("success", {"mean": 0.5, "success": 0.95}, True),
        ("success", {"mean": 2.0, "success": 0.1}, False),
    ],
)
def test_a_good_expert_is_better_by_the_tasks_own_score(score, expert, good):
    scores = {"std": 0.0, "episodes": 100, "first_seed": 0}
    task = replace(
        all_tasks()[0],
        score=score,
        has_success=True,
        random_reference=Reference(mean=1.0, success=0.1, **scores),
        expert_reference=Reference(**expert, **scores),
    )
    assert has_good_expert(task) is good


def test_gatos_table_is_the_papers():
    """596 tasks and 85.2% of the weight (the paper prints 85.3%), 16 data sets."""
    rows = gato_control.GATO_CONTROL
    assert len(rows) == 16
    assert sum(row.tasks for row in rows) == 596
    assert sum(row.weight for row in rows) == pytest.approx(85.21)


def test_gatos_weights_are_spread_over_what_is_here():
    weights = gato_control.sampling_weights()
    assert sum(weights.values()) == pytest.approx(1)
    assert set(weights) == {task.id for task in task_set("gato/control")}

    def share(prefix: str) -> float:
        return sum(weight for id, weight in weights.items() if id.startswith(prefix))

    assert share("metaworld/") / share("babyai/") == pytest.approx(8.96 / 9.06)


def test_a_set_asks_for_more_demonstrations_than_a_task_has_by_itself():
    """Many of short episodes, no more of long ones, and what is slow is bounded."""
    local = {task.id: task for task in task_set("local")}
    own = {task.id: task.episodes for task in all_tasks()}
    for id, task in local.items():
        expert = task.expert_reference
        steps = task.episodes * expert.length
        assert task.episodes >= own[id]
        assert (
            task.episodes == own[id]
            or 50_000 <= steps < 50_000 + expert.length + 1
            or task.episodes == MOST_EPISODES
            or MOST_SECONDS <= task.episodes * expert.seconds < MOST_SECONDS + expert.seconds
        ), id
    assert local["FetchReach-v4"].episodes == MOST_EPISODES
    assert 50 < local["Pusher-v5"].episodes < 500
    assert local["BipedalWalker-v3"].episodes == own["BipedalWalker-v3"] == 100
    assert {task.id: task.episodes for task in task_set("experts")}.items() <= own.items()
