import pytest

from generalist.configs.local import SHARES
from generalist.configs.presets import PRESETS, load_preset
from generalist.configs.worlds import WEIGHTS
from generalist.envs.sets import task_set
from generalist.envs.table import find_task
from generalist.envs.task_spaces import stored_spaces
from generalist.tokenizers.layout import Layout
from generalist.tokenizers.text import ByteTokenizer
from generalist.train.agent_fits import check_local_positions


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_names_tasks_that_there_are(name):
    sources = load_preset(name).train.sources
    assert [find_task(source.task).id for source in sources] == [source.task for source in sources]


@pytest.mark.parametrize("name", ["mt50", "babyai", "local", "worlds", "libero"])
def test_timesteps_of_a_set_fit_its_preset(name):
    config = load_preset(name).train
    for source in config.sources:
        layout = Layout.from_spaces(
            *stored_spaces()[source.task], vocabulary=config.vocabulary, text=ByteTokenizer(), options=source.layout
        )
        check_local_positions(source.task, layout, config.agent)
        assert layout.max_tokens <= config.sequence_length


@pytest.mark.parametrize(
    ("name", "tasks"),
    [("mt50", "metaworld/mt50"), ("local", "local"), ("worlds", "worlds"), ("libero", "libero/scripted")],
)
def test_a_preset_trains_on_its_set(name, tasks):
    sources = load_preset(name).train.sources
    assert {source.task for source in sources} == {task.id for task in task_set(tasks)}


def test_every_family_of_the_local_suite_has_its_share_and_every_task_of_it_the_same():
    weights: dict[str, list[float]] = {}
    for source in load_preset("local").train.sources:
        weights.setdefault(find_task(source.task).family, []).append(source.weight)
    assert {family: pytest.approx(sum(each)) for family, each in weights.items()} == SHARES
    assert all(len(set(each)) == 1 for each in weights.values())


def test_worlds_has_the_quickstarts_tasks_as_they_are_and_a_share_of_each_newer_family():
    quickstart, worlds = load_preset("quickstart").train, load_preset("worlds").train
    count = len(quickstart.sources)
    assert worlds.sources[:count] == quickstart.sources
    newer: dict[str, float] = {}
    for source in worlds.sources[count:]:
        family = find_task(source.task).family
        newer[family] = newer.get(family, 0) + source.weight
    assert newer == pytest.approx(WEIGHTS)
    assert all(find_task(source.task).expert for source in worlds.sources)


def test_words_first_shows_as_many_rows_of_missions_as_of_captions_and_of_text():
    config = load_preset("words_first").train
    captions, text = config.documents
    rows = [sum(each.weight for each in config.sources), captions.weight / captions.pictures_per_row, text.weight]
    assert rows == pytest.approx([4, 4, 4])
    assert {find_task(each.task).family for each in config.sources} == {"babyai"}


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(ValueError, match="unknown config 'quickstrat': did you mean quickstart"):
        load_preset("quickstrat")
