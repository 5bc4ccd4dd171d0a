"""A run as a model of EleutherAI's `lm-eval`, so that its tasks are measured on agents and public models alike.

    python -m generalist.eval.language.harness run --model generalist --model_args run=RUN --tasks hellaswag

takes what the command `lm_eval` takes; in Python `lm_eval.simple_evaluate(model=Harness("RUN"), tasks=[...])`. Most of
its tasks fetch their data from the Hugging Face Hub; those of one's own (`--include_path`) need none. Needs the extra
`lm-eval`.
"""

import os
from collections.abc import Sequence
from typing import Any

from lm_eval.api.model import LM
from lm_eval.api.registry import register_model

from generalist.agent.sampling import SamplingConfig
from generalist.play.writer import Writer
from generalist.tokenizers.json_text import JsonTokenizer
from generalist.tokenizers.parts import Document, Said

MOST_TOKENS = 256
"""Of a text that is written, where the task says nothing."""


@register_model("generalist")
class Harness(LM):
    """One run and one source of documents, as which it reads and writes.

    Args:
        run: its place, as `generalist.load` takes it.
        source: as in `Writer.load`.
        step: a number, "best" or nothing.
    """

    def __init__(self, run: str | os.PathLike[str], source: str | None = None, step: Any = None, **_: Any):
        super().__init__()
        self.writer = Writer.load(run, step, source=source)

    @property
    def tokenizer_name(self) -> str:
        """So that what is kept of a chat template is not taken for that of another."""
        return self.writer.layout.text.version

    def chat_template(self, chat_template: bool | str = False) -> str:
        """The harness keeps it beside its results; templates are the tokenizer's own here."""
        return self.tokenizer_name if chat_template else ""

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """A dialogue as its template writes it. Raises ValueError where the text tokenizer has none."""
        text = self.writer.layout.text
        if not isinstance(text, JsonTokenizer):
            raise ValueError("this run's text tokenizer has no chat template")
        said = [(each["role"], each["content"]) for each in chat_history]
        return text.decode([at for part in text.said(said, answering=add_generation_prompt) for at in part.ids])

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        """Of each continuation of a context: nats with their sign, and whether it is what would be written."""
        pairs = [request.args for request in requests]
        nats, likeliest = self.writer.scored([self._continued(*pair) for pair in pairs])
        return [(float(sum_), bool(best)) for sum_, best in zip(nats, likeliest, strict=True)]

    def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
        """Of whole texts. One that is longer than the window is read in parts, each with the token before it."""
        texts = [request.args[0] for request in requests]
        pieces = [(at, piece) for at, text in enumerate(texts) for piece in self._windows(text)]
        out = [0.0] * len(texts)
        for (at, _), nats in zip(pieces, self.writer.log_likelihoods([piece for _, piece in pieces]), strict=True):
            out[at] += float(nats)
        return out

    def generate_until(self, requests: list[Any]) -> list[str]:
        """What follows each context, greedily unless the task draws, up to one of its strings."""
        out = []
        for request in requests:
            context, asked = request.args
            stop = asked.get("until") or ()
            sampling = SamplingConfig(
                max_tokens=asked.get("max_gen_toks", MOST_TOKENS),
                temperature=asked.get("temperature", 0.0) if asked.get("do_sample") else 0.0,
            )
            out += self.writer.write([self._read(context, sampling.max_tokens)], sampling, stop=_texts(stop))
        return out

    def _read(self, context: str, after: int) -> Document:
        """A context to go on from, without what is too old for the window."""
        return (Said(self._last(self._encode(context), self._room - min(after, self._room // 2)), False),)

    def _continued(self, context: str, continuation: str) -> Document:
        """The two are encoded together, so that a word on their border is cut as in a text."""
        both, before = self._encode(context + continuation), self._encode(context)
        known = min(len(before), len(both) - 1)
        target = tuple(both[known:])[1 - self._room :]
        return Said(self._last(both[:known], self._room - len(target)), False), Said(target, True)

    def _windows(self, text: str) -> list[Document]:
        """Every token once as a target: parts that follow each other, each with the token before it."""
        ids, found = self._encode(text), []
        for start in range(0, len(ids), self._room - 1):
            target = tuple(ids[start : start + self._room - 1])
            found.append((Said(self._last(ids[:start], self._room - len(target)), False), Said(target, True)))
        return found

    def _last(self, ids: Sequence[int], count: int) -> tuple[int, ...]:
        """The last `count` ids; of none, what a text without an opening can be predicted from."""
        layout = self.writer.layout
        return tuple(ids[max(0, len(ids) - count) :]) or (() if layout.opening else layout.ends[:1])

    @property
    def _room(self) -> int:
        """Ids that the window has room for."""
        return self.writer.config.window - len(self.writer.layout.opening)

    def _encode(self, said: str) -> list[int]:
        """Ids of a text, its marks too: what a chat template has written is read as such."""
        text = self.writer.layout.text
        return (text.marked(said) if isinstance(text, JsonTokenizer) else text.encode(said)).tolist()


def _texts(stop: str | Sequence[str]) -> tuple[str, ...]:
    return (stop,) if isinstance(stop, str) else tuple(each for each in stop if each)


if __name__ == "__main__":
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()
