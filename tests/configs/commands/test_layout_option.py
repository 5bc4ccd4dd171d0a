"""One choice for the layout of every task, by `--layout NAME=VALUE` or `Experiment.with_layout`."""

import pytest

from generalist.configs.commands.layout_option import with_choices
from generalist.configs.presets import load_preset

PROG = "generalist train quickstart"


def layouts(*choices: str) -> set:
    return {source.layout for source in with_choices(load_preset("quickstart"), choices, PROG).train.sources}


def test_a_choice_reaches_every_task_and_nothing_else():
    before = load_preset("quickstart")
    shown = ("past_actions=shown", "actions=sequential")
    after = with_choices(before, ("context=4", *shown, "separator=true", "image-shape=28 28 3"), PROG)
    assert after.evaluation == before.evaluation
    assert [source.task for source in after.train.sources] == [source.task for source in before.train.sources]
    [layout] = {source.layout for source in after.train.sources}
    assert (layout.context, layout.past_actions, layout.separator) == (4, "shown", True)
    assert layout.image_shape == (28, 28, 3)
    assert layout.max_text_tokens == before.train.sources[0].layout.max_text_tokens
    assert {layout.context for layout in layouts("context=None")} == {None}
    assert with_choices(before, (), PROG) is before


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (("contxt=4",), "a layout has no option 'contxt': did you mean context"),
        (("context",), "takes NAME=VALUE"),
        (("context=four",), "--context"),
        (("past-actions=seen",), "past-actions"),
        (("separator=perhaps",), "perhaps"),
        (("actions=direct", "past-actions=shown"), 'needs past_actions="hidden"'),
    ],
)
def test_a_choice_that_cannot_be_is_one_line(choices, message):
    with pytest.raises(ValueError, match=message) as raised:
        layouts(*choices)
    assert "\n" not in str(raised.value)


def test_in_python_a_wrong_name_is_told_with_the_nearest():
    with pytest.raises(TypeError, match="no option 'past_action': did you mean past_actions"):
        load_preset("quickstart").with_layout(past_action="shown")
