"""The commands that write, as a user types them: streams, batches, pictures, dialogues, and what is refused."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from flax import nnx
from PIL import Image
from token_examples import CONFIG, VOCABULARY, network

from generalist.agent.config import AgentConfig
from generalist.agent.network import unstacked
from generalist.agent.sampling import SamplingConfig
from generalist.configs.commands import language_commands as commands
from generalist.configs.commands.arguments import parse
from generalist.configs.commands.errors import run
from generalist.configs.commands.language_commands import Talk, read_message, show
from generalist.play.dialogue import fitting, prompt_of
from generalist.play.writer import Writer
from generalist.tokenizers.document import DocumentLayout
from generalist.tokenizers.parts import Document, Picture, Speaker, Words
from generalist.tokenizers.pictures import PictureOptions
from generalist.tokenizers.text import ByteTokenizer
from generalist.train.config import DocumentsConfig

PICTURES = PictureOptions(shape=(8, 16, 3), patch_size=8)
AGENT = AgentConfig(**{**vars(CONFIG), "attention_block": 64})
CORPORA = {"text:/books": "text", "images:/photos": "caption", "chat:/talk": "dialogue"}
TINY = ["--max-tokens", "9"]


@pytest.fixture(autouse=True)
def trained(monkeypatch) -> SimpleNamespace:
    """A run with three corpora that are not here, and its agent."""
    documents = tuple(DocumentsConfig(corpus=name, pictures=PICTURES) for name in CORPORA)
    config = SimpleNamespace(
        sources=(), documents=documents, vocabulary=VOCABULARY, agent=AGENT, text=SimpleNamespace(tokenizer="bytes")
    )
    model = network("patches", AGENT, 3)
    graphdef, state = nnx.split(unstacked(model))
    there = SimpleNamespace(config=config, text=ByteTokenizer(), visual=None)
    agent = SimpleNamespace(run=there, sizes=model.sizes, graphdef=graphdef, state=state)
    monkeypatch.setattr("generalist.train.run.read_run", lambda path: agent.run)
    monkeypatch.setattr("generalist.play.agent.Agent.load", lambda path, *, step=None, dtype=None: agent)
    monkeypatch.setattr("generalist.agent.compilation.keep_compilations", lambda: None)
    monkeypatch.setattr("generalist.play.writer.measure_of", lambda documents: CORPORA[documents.corpus])
    return agent


def writer(trained: SimpleNamespace, number: int) -> Writer:
    return Writer(AGENT, trained.sizes, trained.graphdef, trained.state, layout(), number)


def layout() -> DocumentLayout:
    return DocumentLayout(VOCABULARY, ByteTokenizer(), PICTURES)


def call(*arguments: str) -> int:
    """The exit code of a command, as `generalist` runs it."""

    def main(given: list[str]) -> None:
        parse(commands.COMMANDS[given[0]], given[1:], prog=f"generalist {given[0]}")()

    return run(main, arguments)


def test_a_text_is_gone_on_from(trained, capsys):
    assert call("generate", "run", "once upon", *TINY) == 0
    sampling = SamplingConfig(max_tokens=9)
    expected = writer(trained, 0).write([(Words("once upon", whole=False),)], sampling)
    assert capsys.readouterr().out == expected[0] + "\n"


def test_options_reach_the_draws(trained, capsys):
    options = ["--temperature", "2", "--top-k", "30", "--top-p", "0.9", "--seed", "4", "--source", "chat:/talk"]
    assert call("generate", "run", "hi", *TINY, *options) == 0
    sampling = SamplingConfig(temperature=2, top_k=30, top_p=0.9, max_tokens=9, seed=4)
    expected = writer(trained, 2).write([(Speaker("user"), Words("hi"), Speaker("assistant"))], sampling)
    shown = capsys.readouterr().out
    assert shown == expected[0] + "\n"
    assert call("generate", "run", "hi", *TINY, *options, "--stop", expected[0][3]) == 0
    assert capsys.readouterr().out == expected[0][: expected[0].index(expected[0][3])] + "\n"


def test_several_prompts_and_stdin(trained, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("from\na pipe\n"))
    assert call("generate", "run", "one", "-", "--json", *TINY) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["prompt"] for row in rows] == ["one", "from\na pipe"]
    prompts: list[Document] = [(Words(row["prompt"], whole=False),) for row in rows]
    assert [row["text"] for row in rows] == writer(trained, 0).write(prompts, SamplingConfig(max_tokens=9))
    assert call("generate", "run", "one", "two", *TINY) == 0
    output = capsys.readouterr().out
    assert output.startswith("> one\n" + rows[0]["text"])
    assert "\n\n> two\n" in output


def test_a_prompt_has_the_form_of_its_source():
    assert prompt_of("x", "text") == (Words("x", target=False, whole=False),)
    assert prompt_of("x", "answer") == (Words("x", target=False),)
    assert prompt_of("x", None) == prompt_of("x", "text")
    assert prompt_of("x", "dialogue") == (Speaker("user"), Words("x", target=False), Speaker("assistant"))


@pytest.fixture
def images(tmp_path) -> list[str]:
    """Grey, colour, with alpha, cut off, no image, absent."""
    rng = np.random.default_rng(0)
    for name, shape in (("grey.png", (9, 9)), ("colour.jpg", (20, 30, 3)), ("alpha.png", (8, 8, 4))):
        Image.fromarray(rng.integers(0, 256, shape).astype(np.uint8)).save(tmp_path / name)
    (tmp_path / "cut.png").write_bytes((tmp_path / "alpha.png").read_bytes()[:100])
    (tmp_path / "text.png").write_text("no image")
    names = ["grey.png", "cut.png", "colour.jpg", "text.png", "absent.png", "alpha.png"]
    return [str(tmp_path / name) for name in names]


def test_damaged_images_are_named_and_the_others_captioned(trained, images, capsys):
    assert call("caption", "run", *images, *TINY) == 2
    output = capsys.readouterr()
    lines = [line.split("\t") for line in output.out.splitlines()]
    assert [name for name, _ in lines] == [images[0], images[2], images[5]]
    errors = [line for line in output.err.splitlines() if line.startswith("error:")]
    for error, name in zip(errors, [images[1], images[3], images[4]], strict=False):
        assert name in error
    assert errors[3] == "error: 3 of 6 images could not be read"
    pictures = [commands.read_picture(commands.Path(images[index])) for index in (0, 2, 5)]
    captions = writer(trained, 1).write([(picture,) for picture in pictures], SamplingConfig(max_tokens=9))
    assert [text for _, text in lines] == [" ".join(caption.split()) for caption in captions]


def test_captions_as_json(trained, images, capsys):
    assert call("caption", "run", images[0], "--json", *TINY) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert row["image"] == images[0]
    assert row["caption"]


class Recorder:
    """In place of a writer: remembers the prompts and answers `answer 0`, `answer 1`, ... in pieces."""

    def __init__(self, window: int = 64):
        self.config = SimpleNamespace(window=window)
        self.prompts: list[Document] = []

    def length(self, prompt: Document) -> int:
        return len(layout().encode([prompt], source=0))

    def stream(self, prompt: Document, sampling, *, stop=(), seed=0) -> Iterator[str]:
        if self.length(prompt) > self.config.window:
            raise ValueError("too long")
        self.prompts.append(prompt)
        return iter([f"answer {seed}"[:5], f"answer {seed}"[5:]])


def texts(document: Document) -> list[str]:
    """Speakers in brackets, words, and [picture]."""
    shown = {Words: lambda part: part.text, Speaker: lambda part: f"<{part.name}>", Picture: lambda part: "[picture]"}
    return [shown[type(part)](part) for part in document]


def test_a_dialogue_remembers_what_was_said(capsys, images):
    recorder = Recorder(window=1000)
    talk = Talk(recorder, SamplingConfig())  # pyright: ignore[reportArgumentType]
    assert all(talk.hear(message) for message in ("hello", f"/image {images[0]}", "what is it", "  "))
    said = ["<user>", "hello", "<assistant>"]
    assert texts(recorder.prompts[0]) == said
    said += ["answer 0", "<user>", "[picture]", "what is it", "<assistant>"]
    assert texts(recorder.prompts[1]) == said
    assert all(part.whole for prompt in recorder.prompts for part in prompt if isinstance(part, Words))
    assert capsys.readouterr().out == "answer 0\nanswer 1\n"
    assert talk.hear("/reset")
    assert talk.hear("again")
    assert texts(recorder.prompts[2]) == ["<user>", "again", "<assistant>"]
    assert not talk.hear("/quit")


def test_pictures_stand_where_the_corpus_has_them(images):
    recorder = Recorder(window=1000)
    talk = Talk(recorder, SamplingConfig(), picture_first=True)  # pyright: ignore[reportArgumentType]
    talk.hear(f"/image {images[0]}")
    talk.hear(f"/image {images[2]}")
    talk.hear("what")
    assert texts(recorder.prompts[0]) == ["[picture]", "[picture]", "<user>", "what", "<assistant>"]


def test_the_oldest_turns_are_dropped_whole(capsys):
    recorder = Recorder(window=68)  # a quarter is for the answer
    talk = Talk(recorder, SamplingConfig(max_tokens=30))  # pyright: ignore[reportArgumentType]
    for message in ("a" * 20, "b" * 20, "c" * 5, "d" * 300, "e"):
        talk.hear(message)
    assert texts(recorder.prompts[1])[:2] == ["<user>", "b" * 20]
    assert texts(recorder.prompts[2])[:2] == ["<user>", "b" * 20]
    assert texts(recorder.prompts[2])[-2:] == ["c" * 5, "<assistant>"]
    errors = capsys.readouterr().err
    assert errors.count("forgot the oldest 1 of its turns") == 2
    assert "error: too long" in errors
    assert texts(recorder.prompts[3])[-6:] == ["c" * 5, "<assistant>", "answer 2", "<user>", "e", "<assistant>"]
    assert all(recorder.length(prompt) <= 51 for prompt in recorder.prompts)
    turns: list[Document] = [(Words("a" * size),) for size in (30, 20, 10)]
    assert fitting(turns, (), recorder.length, 33) == turns[1:]
    assert fitting(turns, (), recorder.length, 32) == turns[2:]
    assert fitting(turns, (), recorder.length, 5) == []


def test_a_message_may_have_several_lines():
    given = iter(["one\\", "two \\", "three", "four", "five\\"])
    prompts = []

    def ask(prompt: str) -> str | None:
        prompts.append(prompt)
        return next(given, None)

    assert [read_message(ask) for _ in range(4)] == ["one\ntwo \nthree", "four", "five", None]
    assert prompts[:4] == ["you> ", "... ", "... ", "you> "]


def test_a_chat_from_a_pipe(trained, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("hi\n/nothing\n/help\n/image absent.png\nand\\\nthen\n/quit\nno\n"))
    assert call("chat", "run", "--max-tokens", "5", "--temperature", "1") == 0
    output = capsys.readouterr()
    sampling = SamplingConfig(max_tokens=5, temperature=1)
    mine, hi = writer(trained, 2), (Speaker("user"), Words("hi"), Speaker("assistant"))
    [first] = mine.write([hi], sampling)
    second = (*hi, Words(first), Speaker("user"), Words("and\nthen"), Speaker("assistant"))
    assert output.out == f"{first}\n{mine.write([second], sampling, seeds=[1])[0]}\n"
    assert "there is no /nothing; /help lists what there is" in output.err
    assert "/image PATH" in output.err
    assert "error: absent.png" in output.err


def test_ctrl_c_ends_an_answer_and_not_the_chat(capsys):
    def interrupted() -> Iterator[str]:
        yield "so far"
        raise KeyboardInterrupt

    assert show(interrupted(), stoppable=True) == "so far"
    assert capsys.readouterr().out == "so far\n"
    with pytest.raises(KeyboardInterrupt):
        show(interrupted())


def test_a_terminal_gets_no_control_characters(monkeypatch):
    assert commands.printable("a\x1b[2J") == "a\x1b[2J"
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: True))
    assert commands.printable("a\x1b[2J\n\té🙂\x9b") == "a\ufffd[2J\n\té🙂\ufffd"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate", "run"], "needs a prompt after RUN"),
        (["caption", "run"], "needs the path of an image after RUN"),
        (["generate", "run", "x", "--temperature", "-1"], "temperature must be 0 (greedy) or at least 0.001, got -1.0"),
        (["generate", "run", "x", "--source", "books"], "no document source 'books'; did you mean text:/books?"),
        (["generate", "run", "x" * 70], "the prompt has 71 tokens, the agent sees 64; shorten it"),
        (["generate", "run", "x", "--topk", "1"], "has no option --topk: did you mean --top-k or"),
        (["chat"], "RUN"),
    ],
)
def test_what_cannot_be_is_one_line(arguments, message, capsys):
    assert call(*arguments) == 2
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert message in line


def test_help_does_not_wait_for_jax():
    code = (
        "import sys\nfrom generalist.configs.commands.language_commands import COMMANDS\n"
        "from generalist.configs.commands.arguments import parse\n"
        "for name in COMMANDS:\n"
        "    try:\n        parse(COMMANDS[name], ['--help'], prog=name)\n"
        "    except SystemExit:\n        pass\n"
        "assert not {'jax', 'gymnasium', 'flax'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("--temperature") == 4
