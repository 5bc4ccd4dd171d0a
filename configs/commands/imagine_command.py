"""`generalist imagine`: a film of an environment as an agent draws it, beside the real one."""

from dataclasses import dataclass
from pathlib import Path

from generalist.configs.commands.language_commands import Writing
from generalist.configs.commands.terminal import console


@dataclass(frozen=True, kw_only=True)
class Imagine(Writing):
    """Draw an episode frame by frame, each from drawn ones and the actions that were taken, beside the real episode.

    With a run that was trained on worlds:FOLDER. The likeliest frame is drawn, whatever --temperature says.
    """

    episode: int = 0
    """Which of the test episodes, from 0."""
    start: int = 0
    """The first frame, from 0."""
    frames: int = 40
    """How many, real ones at the beginning among them."""
    out: Path = Path("imagined.webp")
    """The file to write: an animated WebP, real on the left, drawn on the right."""

    def __call__(self) -> None:
        if self.frames < 2 or self.episode < 0 or self.start < 0:
            raise ValueError(
                f"--frames must be 2 or more, --episode and --start 0 or more, got {self.frames}, {self.episode} and "
                f"{self.start}"
            )
        from generalist.corpora.worlds import open_corpus
        from generalist.envs.files import write_atomically
        from generalist.play.painter import Painter
        from generalist.play.worlds import film, imagine

        writer, _, corpus = self.open(("world",))
        worlds = open_corpus(corpus.removeprefix("worlds:"), "test")
        if self.episode >= len(worlds.episodes):
            raise ValueError(f"--episode {self.episode}: {corpus} has {len(worlds.episodes)} test episodes, from 0 on")
        pairs = imagine(Painter.of(writer), worlds, self.episode, self.frames, start=self.start)
        write_atomically(self.out, film(pairs))
        said = f"{self.out}: {len(pairs)} frames, of which {len(pairs) - worlds.past} were drawn"
        console().print(said, markup=False, soft_wrap=True)
