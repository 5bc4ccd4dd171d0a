import pytest

from generalist.demonstrations.public.catalogue import CATALOGUE, GAMES, JOYSTICK, SCHEMES, find_row, minimal_actions
from generalist.envs.families import atari, babyai, dm_control, metaworld, mujoco


@pytest.mark.parametrize(
    ("scheme", "name", "task"),
    [
        ("rlds", "rlu_atari/Pong_run_1", "atari/Pong"),
        ("rlds", "rlu_atari/BankHeist_run_5", "atari/BankHeist"),
        ("rlds", "rlu_atari_checkpoints_ordered/MsPacman_run_2", "atari/MsPacman"),
        ("rlds", "rlu_control_suite/cartpole_swingup", "dm_control/cartpole-swingup"),
        ("rlds", "rlu_control_suite/finger_turn_hard", "dm_control/finger-turn_hard"),
        ("rlds", "rlu_dmlab_explore_object_rewards_few/training_0", "dmlab/explore_object_rewards_few"),
        ("rlds", "d4rl_mujoco_halfcheetah/v2-expert", "HalfCheetah-v5"),
        ("rlds", "d4rl_adroit_door/v0-human", "gym:gymnasium_robotics:AdroitHandDoor-v1"),
        ("rlds", "bridge", "robot/bridge"),
        ("rlds", "fractal20220817_data", "robot/fractal20220817_data"),
        ("rlds", "stanford_hydra_dataset_converted_externally_to_rlds", None),
        ("jat", "metaworld-push", "metaworld/push-v3"),
        ("jat", "metaworld-button-press-topdown", "metaworld/button-press-topdown-v3"),
        ("jat", "babyai-go-to-obj", "babyai_symbolic/GoToObj"),
        ("jat", "babyai-go-to-red-ball-no-dists", "babyai_symbolic/GoToRedBallNoDists"),
        ("jat", "babyai-put-next", "babyai_symbolic/PutNextS7N4"),
        ("jat", "babyai-move-two-across-s8n9", "babyai_symbolic/MoveTwoAcrossS8N9"),
        ("jat", "atari-pong", "atari/Pong"),
        ("jat", "atari-upndown", "atari/UpNDown"),
        ("jat", "mujoco-reacher", "Reacher-v5"),
        ("jat", "mujoco-doublependulum", "InvertedDoublePendulum-v5"),
        ("minari", "D4RL/door/human-v2", "gym:gymnasium_robotics:AdroitHandDoor-v1"),
        ("minari", "mujoco/halfcheetah/expert-v0", "HalfCheetah-v5"),
        ("minari", "atari/pong/expert-v0", "atari/Pong"),
        ("minari", "minigrid/BabyAI-GoToObj/optimal-v0", "babyai/GoToObj"),
        ("lerobot", "pusht", "pusht"),
        ("rlds", "never_heard_of", "never_heard_of"),
    ],
)
def test_names_of_data_sets_are_tasks_of_ours(scheme, name, task):
    assert find_row(scheme, name)[1] == (task or f"robot/{name}")


def test_a_set_that_no_row_knows_has_the_formats_own_rules():
    row, _ = find_row("rlds", "never_heard_of")
    assert (row.observation, row.action, row.last_action_taken) == (("observation",), ("action",), None)


def test_every_row_is_of_a_format():
    assert {row.scheme for row in CATALOGUE} <= set(SCHEMES)


JAT = {
    "babyai": (
        "action-obj-door blocked-unlock-pickup boss-level boss-level-no-unlock find-obj-s5 go-to go-to-door "
        "go-to-imp-unlock go-to-local go-to-obj go-to-obj-door go-to-red-ball go-to-red-ball-grey "
        "go-to-red-ball-no-dists go-to-red-blue-ball go-to-seq key-corridor mini-boss-level move-two-across-s8n9 "
        "one-room-s8 open open-door open-doors-order-n4 open-red-door open-two-doors pickup pickup-above pickup-dist "
        "pickup-loc put-next put-next-local synth synth-loc synth-seq unblock-pickup unlock unlock-local unlock-pickup "
        "unlock-to-unlock"
    ),
    "metaworld": "assembly button-press-topdown-wall peg-insert-side sweep-into window-open",
    "mujoco": "pendulum reacher",
    "atari": " ".join(game.lower() for game in GAMES),
}
CONTROL = (
    "cartpole_swingup cheetah_run finger_turn_hard fish_swim humanoid_run manipulator_insert_ball "
    "manipulator_insert_peg walker_stand walker_walk"
)


def test_names_lead_to_tasks_that_are_there():
    families = (atari, babyai, dm_control, metaworld, mujoco)
    known = {task.id for family in families for task in family.TASKS}
    jat = {find_row("jat", f"{domain}-{name}")[1] for domain, names in JAT.items() for name in names.split()}
    control = {find_row("rlds", f"rlu_control_suite/{name}")[1] for name in CONTROL.split()}
    assert jat | control <= known


def check_minimal_actions(games):
    ale_py = pytest.importorskip("ale_py")
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    roms = {id.replace("_", ""): id for id in ale_py.roms.get_all_rom_ids()}
    for game in games:
        console = ale_py.ALEInterface()
        console.loadROM(ale_py.roms.get_rom_path(roms[game.lower()]))
        full = [action.value for action in console.getLegalActionSet()]
        assert full == list(JOYSTICK.get(game, range(18))), game
        places, count = minimal_actions(f"atari/{game}")
        assert count == len(full)
        assert [full[place] for place in places] == [action.value for action in console.getMinimalActionSet()], game


def test_minimal_actions_are_ales_own():
    check_minimal_actions(["Skiing", "Pong", "Freeway", "Alien"])


@pytest.mark.slow
def test_minimal_actions_of_every_game_are_ales_own():
    check_minimal_actions(GAMES)
