"""The command `generalist view`: an episode of a data set as the network reads it, token by token."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from generalist.configs.commands.terminal import console, print_notice, table


@dataclass(frozen=True, kw_only=True)
class View:
    """Show a recorded or imported episode as the network reads it: every position, its value, whether it is predicted.

    No environment is needed.
    """

    task: tyro.conf.Positional[str]
    """Id of the task, as `generalist tasks --data DIR` lists it."""
    data: Path = Path("data")
    """Folder of the demonstrations."""
    config: str = "quickstart"
    """The config whose layout shows it: that of the task, else of its first task."""
    episode: int = 0
    """Number of the episode."""
    steps: int = 2
    """Timesteps from its beginning."""
    out: Path | None = None
    """An HTML file to write, with the pictures, instead of the table."""

    def __call__(self) -> None:
        from generalist.configs.fit import with_sources
        from generalist.configs.presets import load_preset
        from generalist.demonstrations.data_folder import check_known
        from generalist.demonstrations.storage import Demonstrations, dataset_folder
        from generalist.envs.files import write_atomically
        from generalist.play.policy import first_steps
        from generalist.tokenizers.viewer import SequenceView, page
        from generalist.train.sources import open_layout

        if self.steps < 1:
            raise ValueError(f"--steps must be at least 1, got {self.steps}")
        check_known(self.task, self.data)
        config = with_sources(load_preset(self.config).train, (self.task,))
        layout = open_layout(config, self.task, self.data)
        demonstrations = Demonstrations.open(dataset_folder(self.data, self.task))
        if not 0 <= self.episode < len(demonstrations):
            raise ValueError(f"--episode {self.episode}: {self.task} has the episodes 0 to {len(demonstrations) - 1}")
        episode = demonstrations.episode(self.episode)
        view = SequenceView(first_steps(layout, 0, episode, self.steps), layout.vocabulary, layout)
        row = {
            "task": self.task,
            "episode": f"{self.episode} of {len(demonstrations)}",
            "steps": len(episode),
            "return": episode.metadata.episode_return,
            "from": episode.metadata.expert,
        }
        if self.out is not None:
            write_atomically(self.out, page(view, title=f"{self.task}, episode {self.episode}").encode())
            print_notice(f"wrote {self.out}")
            return
        console().print(table([row]))
        print(view)
