"""The commands that write: `generalist generate`, `caption`, `draw` and `chat`. `generalist.play.writer` and
`generalist.play.painter` do the work.

What is written goes to stdout, all else to stderr. Heavy packages are imported inside the commands.
"""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from generalist.agent.sampling import DRAWN_AT, GUIDANCE, SamplingConfig
from generalist.configs.commands.terminal import console, print_error, print_notice
from generalist.tokenizers.printable import printable as shown_text

if TYPE_CHECKING:
    from generalist.corpora.corpus import Measure
    from generalist.play.writer import Writer
    from generalist.tokenizers.bands import Bands
    from generalist.tokenizers.parts import Document, Picture

Flag = tyro.conf.FlagCreatePairsOff[bool]
Texts = tyro.conf.UseAppendAction[tuple[str, ...]]

DIALOGUE_HELP = """/image PATH  show a picture with the next message
/reset       forget what was said
/quit        end, as Ctrl-D does; Ctrl-C stops an answer
A line that ends with a backslash goes on in the next one."""


@dataclass(frozen=True, kw_only=True)
class Writing:
    """Options that the three commands share."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """What `generalist train` made, or an export: its folder, pretrained:NAME or hf:USER/NAME[@REVISION]."""
    temperature: float = 0.0
    """Divides the logits before a draw; 0 takes the likeliest token."""
    top_k: int = 0
    """Draw among so many of the likeliest tokens; 0: all."""
    top_p: float = 1.0
    """Draw among the fewest likeliest tokens that together have this probability."""
    max_tokens: int = 128
    """A text ends after so many tokens."""
    seed: int = 0
    """Of the draws."""
    stop: Texts = ()
    """A text ends before this string; give it again for more."""
    source: str | None = None
    """Write as this corpus of the run's; default: the first that fits."""
    step: int | Literal["best"] | None = None
    """Use the checkpoint of this update, or the best: the one of lowest loss on what is held out (on the training data
    where a run holds nothing out); default: the newest."""
    dtype: Literal["float32", "bfloat16"] | None = None
    """Compute in this and keep the parameters in it; default: as trained. bfloat16 is for accelerators."""

    @property
    def sampling(self) -> SamplingConfig:
        """Raises ValueError where a number cannot be."""
        return SamplingConfig(
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            max_tokens=self.max_tokens,
            seed=self.seed,
        )

    def open(self, measures: "Sequence[Measure]") -> "tuple[Writer, Measure | None, str]":
        """The writer as the chosen source, what is measured on that (None: unknown), and its name."""
        from generalist.agent.compilation import keep_compilations
        from generalist.play.agent import Agent
        from generalist.play.writer import Writer, choose_source, measure_of
        from generalist.train.run import read_run

        config = read_run(self.run).config
        number = choose_source(config, self.source, measures)  # before the weights are loaded, which takes longer
        keep_compilations()
        chosen = config.documents[number]
        agent = Agent.load(self.run, step=self.step, dtype=self.dtype)
        return Writer.of(agent, number), measure_of(chosen), chosen.corpus


@dataclass(frozen=True, kw_only=True)
class Generate(Writing):
    """Go on from a text, or answer it; one text is shown as it is written."""

    prompts: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="PROMPT ...")]
    """Texts; `-` reads one from stdin, without its last line break. Several are written together."""
    json: Flag = False
    """Print a JSON list of objects with prompt and text."""

    def __call__(self) -> None:
        sampling = self.sampling
        if not self.prompts:
            raise ValueError("`generalist generate` needs a prompt after RUN; - reads it from stdin")
        texts = [sys.stdin.read().removesuffix("\n") if prompt == "-" else prompt for prompt in self.prompts]
        from generalist.play.dialogue import prompt_of

        writer, measure, _ = self.open(("text", "dialogue", "answer"))
        prompts = [prompt_of(text, measure) for text in texts]
        if len(prompts) == 1 and not self.json:
            show(writer.stream(prompts[0], sampling, stop=self.stop))
            return
        written = writer.write(prompts, sampling, stop=self.stop)
        rows = [{"prompt": prompt, "text": text} for prompt, text in zip(texts, written, strict=True)]
        if self.json:
            print(json.dumps(rows, indent=2))
            return
        for row in rows:
            console().print(f"> {printable(row['prompt'])}", style="bold", markup=False, soft_wrap=True)
            print(printable(row["text"]) + "\n")


@dataclass(frozen=True, kw_only=True)
class Caption(Writing):
    """Say what is in pictures, a line for each: its file and the caption."""

    images: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="IMAGE ...")]
    """Image files. One that cannot be read is named and the others go on; the exit code then is not 0."""
    json: Flag = False
    """Print a JSON list of objects with image and caption."""

    def __call__(self) -> None:
        sampling = self.sampling
        if not self.images:
            raise ValueError("`generalist caption` needs the path of an image after RUN")
        pictures = {path: picture for path in self.images if (picture := _picture_or_error(path)) is not None}
        if pictures:
            writer, _, _ = self.open(("caption", "label"))
            captions = writer.write([(picture,) for picture in pictures.values()], sampling, stop=self.stop)
            rows = [{"image": str(path), "caption": text} for path, text in zip(pictures, captions, strict=True)]
            if self.json:
                print(json.dumps(rows, indent=2))
            for row in () if self.json else rows:
                print(f"{printable(row['image'])}\t{' '.join(printable(row['caption']).split())}")
        if bad := len(set(self.images)) - len(pictures):
            raise ValueError(f"{bad} of {len(set(self.images))} images could not be read")


@dataclass(frozen=True, kw_only=True)
class Draw(Writing):
    """Draw pictures of texts with a run that was trained on drawings, and write them as one grid: a row for each text.

    --max-tokens and --stop do not matter here.
    """

    texts: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="TEXT ...")]
    """What the pictures are of."""
    count: int = 4
    """Pictures of each text."""
    out: Path = Path("drawn.png")
    """The file to write."""
    guidance: float = GUIDANCE
    """Above 1, further from what would be drawn without a text; each picture then costs twice."""
    temperature: float = DRAWN_AT
    """Divides the logits before a draw; 1 draws from the whole distribution, 0 takes the likeliest, and all pictures of
    a text are then one."""
    scale: int = 4
    """Pixels of the file along a pixel of a picture."""

    def __call__(self) -> None:
        sampling = self.sampling
        if not self.texts:
            raise ValueError("`generalist draw` needs a text after RUN")
        if self.count < 1 or self.scale < 1:
            raise ValueError(f"--count and --scale must be 1 or more, got {self.count} and {self.scale}")
        from generalist.envs.files import write_atomically
        from generalist.play.painter import Painter, grid_png

        writer, _, _ = self.open(("drawing",))
        texts = [text for text in self.texts for _ in range(self.count)]
        pictures = Painter.of(writer).draw(texts, sampling, guidance=self.guidance)
        write_atomically(self.out, grid_png(pictures, self.count, self.scale))
        console().print(f"{self.out}: {self.count} of each of {len(self.texts)} texts", markup=False, soft_wrap=True)


@dataclass(frozen=True, kw_only=True)
class Chat(Writing):
    """Talk with an agent that was trained on dialogues; /help lists what else can be typed."""

    def __call__(self) -> None:
        sampling = self.sampling
        from generalist.play.dialogue import picture_comes_first

        writer, _, corpus = self.open(("dialogue",))
        talk = Talk(writer, sampling, tuple(self.stop), picture_first=picture_comes_first(corpus))
        if sys.stdin.isatty():
            print_notice("/help lists what can be typed besides messages, Ctrl-D ends.")
        while (message := read_message(_ask)) is not None:
            if not talk.hear(message):
                break


@dataclass
class Talk:
    """A dialogue as it goes on: what was said, and the pictures that go with the next message.

    Args:
        picture_first: pictures come before the user's mark and not after it, as in the corpus of training.
    """

    writer: "Writer"
    sampling: SamplingConfig
    stop: tuple[str, ...] = ()
    picture_first: bool = False
    turns: "list[Document]" = field(default_factory=list)
    pictures: "list[Picture | Bands]" = field(default_factory=list)
    answers: int = 0

    def hear(self, message: str) -> bool:
        """Answer a message or obey a command; False ends the dialogue."""
        command, _, rest = message.strip().partition(" ")
        if command == "/quit":
            return False
        if command == "/help":
            print_notice(DIALOGUE_HELP)
        elif command == "/reset":
            self.turns, self.pictures = [], []
            print_notice("forgot what was said")
        elif command == "/image":
            if (picture := _picture_or_error(Path(rest.strip()).expanduser())) is not None:
                self.pictures.append(picture)
                print_notice(f"{rest.strip()} goes with the next message")
        elif command.startswith("/"):
            print_notice(f"there is no {command}; /help lists what there is")
        elif message.strip():
            try:
                self.answer(message)
            except ValueError as error:
                print_error(str(error))
        return True

    def answer(self, message: str) -> None:
        """Show the answer as it is written; Ctrl-C ends it and what there is of it counts as said.

        Raises:
            ValueError: the message alone is longer than the window, or has pictures that the network does not read;
                it is then forgotten with its pictures.
        """
        from generalist.play.dialogue import fitting, joined, room_for, turn
        from generalist.tokenizers.parts import Words

        pictures, self.pictures = self.pictures, []
        asked = turn(message, pictures, picture_first=self.picture_first)
        room = room_for(self.writer.config.window, self.sampling.max_tokens)
        turns = fitting(self.turns, asked, self.writer.length, room)
        pieces = self.writer.stream(joined(turns, asked), self.sampling, stop=self.stop, seed=self.answers)
        if forgotten := len(self.turns) - len(turns):
            print_notice(f"the dialogue is longer than the agent can see: forgot the oldest {forgotten} of its turns")
        text = show(pieces, stoppable=True)
        self.turns = [*turns, (*asked, Words(text, target=False))]
        self.answers += 1


def read_picture(path: Path) -> "Picture | Bands":
    """The picture in a file. Raises ValueError, naming it, where there is none."""
    from generalist.corpora.band_files import NPY, TIFF, is_of_bands, read_npy, read_tiff
    from generalist.corpora.pictures import decode_image

    suffix = path.suffix.lower()
    if suffix in NPY or (suffix in TIFF and is_of_bands(path)):
        return (read_npy if suffix in NPY else read_tiff)(path, "the picture")
    try:
        file = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None
    return decode_image(file, str(path))


def _picture_or_error(path: Path) -> "Picture | Bands | None":
    try:
        return read_picture(path)
    except ValueError as error:
        print_error(str(error))
        return None


def read_message(ask: Callable[[str], str | None]) -> str | None:
    """A message of one or more lines, None at the end of the input. `ask` gives a line without its end."""
    lines: list[str] = []
    while True:
        line = ask("... " if lines else "you> ")
        if line is None:
            return "\n".join(lines) if lines else None
        if not line.endswith("\\"):
            return "\n".join([*lines, line])
        lines.append(line[:-1])


def _ask(prompt: str) -> str | None:
    """The next line, None at the end; Ctrl-C at a terminal asks again."""
    if not sys.stdin.isatty():
        line = sys.stdin.readline()
        return line.rstrip("\r\n") if line else None
    while True:
        try:
            return console(stderr=True).input(f"[bold]{prompt}[/]")
        except EOFError:
            console(stderr=True).print()
            return None
        except KeyboardInterrupt:
            print_notice("\nCtrl-D or /quit ends")


def show(pieces: Iterable[str], *, stoppable: bool = False) -> str:
    """Print a text as it comes, with a line break after it, and give it; if `stoppable`, Ctrl-C ends only this."""
    text = ""
    try:
        for piece in pieces:
            text += piece
            print(printable(piece), end="", flush=True)
    except KeyboardInterrupt:
        if not stoppable:
            raise
    print(flush=True)
    return text


def printable(text: str) -> str:
    """What is written to a terminal holds no characters that could change it; a pipe gets all as it is."""
    return shown_text(text) if sys.stdout.isatty() else text


COMMANDS: dict[str, Any] = {"generate": Generate, "caption": Caption, "draw": Draw, "chat": Chat}
