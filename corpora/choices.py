"""Questions with answers to choose from, in JSON lines: {"question": ..., "choices": [..., ...], "answer": 0}.

The answer is the number of the right choice, from 0, or the choice itself. Published sets of questions (ARC, HellaSwag,
MMLU and others) are such lines or become them by naming their fields so.
"""

from dataclasses import dataclass, field
from pathlib import Path

from generalist.corpora.corpus import BadExampleError, Measure, Split, every_so_manieth
from generalist.corpora.files import files_of
from generalist.corpora.json_lines import JsonLines, string_field
from generalist.tokenizers.parts import Choice, Document, Words

SUFFIXES = (".jsonl", ".jsonl.gz")
MOST_SHOTS = 64


def open_corpus(name: str, split: Split) -> "Choices":
    """The questions of a file, or of all .jsonl and .jsonl.gz files of a folder.

    Args:
        name: a path, or PATH@SHOTS: as many solved questions of the training split stand before each.

    Raises:
        FileNotFoundError: nothing at the path.
        ValueError: no question in it, no number of shots, or fewer questions than shots.
    """
    path, at, shots = name.rpartition("@")
    if not at or Path(name).exists():
        path, shots = name, "0"
    if not shots.isdecimal() or int(shots) > MOST_SHOTS:
        raise ValueError(f"choices:{name}: after @ stands a number of solved questions up to {MOST_SHOTS}")
    if not Path(path).exists():
        raise FileNotFoundError(f"no questions at {path}; give a .jsonl file or a folder of them")
    files, note = files_of(Path(path), SUFFIXES, deep=False)
    lines = tuple(JsonLines(each) for each in files)
    whole = Choices(tuple((file, index) for file in lines for index in range(len(file))), note=note)
    if not len(whole):
        raise ValueError(f"no question in {path}; each line of a .jsonl file is one")
    chosen = every_so_manieth(whole, split)
    solved = every_so_manieth(whole, "train").chosen[: int(shots)]
    if len(solved) < int(shots):
        raise ValueError(f"choices:{name}: there are {len(solved)} questions to show solved, asked for are {shots}")
    return Choices(tuple(whole.places[index] for index in chosen.chosen), tuple(whole.places[i] for i in solved), note)


@dataclass(frozen=True, eq=False)
class Choices:
    """Documents (words, choice): what is asked, with the solved questions before it, and the right answer.

    Args:
        places: of the questions.
        solved: of those that stand before each; a question never stands before itself.
    """

    places: tuple[tuple[JsonLines, int], ...]
    solved: tuple[tuple[JsonLines, int], ...] = ()
    note: str = ""

    measure: Measure = field(default="choice", init=False)
    labels: tuple[str, ...] = field(default=(), init=False)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Document:
        place = self.places[index]
        asked, answer = _read(*place)
        before = [_read(*each) for each in self.solved if each != place]
        told = "".join(f"{question}{right.text}\n\n" for question, right in before)
        return Words(told + asked, target=False, whole=False), answer


def _read(file: JsonLines, line: int) -> tuple[str, Choice]:
    where, fields = file.where(line), file[line]
    choices, answer = fields.get("choices"), fields.get("answer")
    if not isinstance(choices, list) or len(choices) < 2 or not all(isinstance(each, str) for each in choices):
        raise BadExampleError(f"{where}: needs choices, a list of two texts or more, got {choices!r:.80}")
    if len({*choices}) < len(choices):
        raise BadExampleError(f"{where}: the same choice stands twice in {choices!r:.80}")
    number = choices.index(answer) if answer in choices else answer
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(choices):
        raise BadExampleError(f"{where}: answer is the number of a choice from 0, or a choice, got {answer!r:.80}")
    among = tuple(f" {choice}" for choice in choices)
    question = f"Question: {string_field(fields, 'question', where)}\nAnswer:"
    return question, Choice(among[number], whole=False, among=among)
