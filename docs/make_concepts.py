"""Draw the pictures of docs/concepts.md: timesteps as the viewer shows them. Needs extras of the tasks, and Chromium.

python docs/make_concepts.py
"""

import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

from generalist.demonstrations.record import find_policy, record_episode
from generalist.envs.spaces import take
from generalist.envs.table import find_task
from generalist.play.policy import first_steps
from generalist.tokenizers.layout import Layout, LayoutOptions
from generalist.tokenizers.viewer import SequenceView, page

DOCS = Path(__file__).resolve().parent
PICTURES = {
    "tokens_paper": ("CartPole-v1", LayoutOptions(), 2),
    "tokens_vector": ("Reacher-v5", LayoutOptions(continuous="vector", past_actions="hidden", context=1), 2),
    "tokens_patches": ("babyai/GoToRedBall", LayoutOptions(max_text_tokens=24, patch_size=28), 1),
    "tokens_image": (
        "babyai/GoToRedBall",
        LayoutOptions(images="conv", max_text_tokens=24, past_actions="hidden", actions="direct", separator=False),
        2,
    ),
}
"""Of each picture the task, how its layout shows it, and how many timesteps are drawn."""


def view(task_id: str, options: LayoutOptions, steps: int) -> SequenceView:
    """The first timesteps of an episode of the expert's."""
    task = find_task(task_id)
    with closing(task.make()) as env:
        episode = record_episode(env, task, find_policy(task, None)[1], seed=0)
        layout = Layout.from_spaces(env.observation_space, env.action_space, options=options)
    layout = layout.fitted(take(episode.observations, np.arange(len(episode))), episode.actions)
    return SequenceView(first_steps(layout, 0, episode, steps), layout.vocabulary, layout)


def main() -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        tab = browser.new_page(viewport={"width": 1500, "height": 1200}, color_scheme="light")
        for name, (task, options, steps) in PICTURES.items():
            tab.set_content(page(view(task, options, steps), title=task))
            tab.locator("table").first.screenshot(path=DOCS / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
