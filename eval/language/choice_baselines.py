"""Plain baselines of questions with choices: the commonest place of the right answer, and an n-gram model."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from generalist.eval.language.corpus_baselines import prompt_text
from generalist.eval.language.corpus_record import Outcome
from generalist.eval.language.ngram import ORDERS, NGram
from generalist.tokenizers.parts import Choice, Document


def chosen_by(questions: Sequence[Choice], nats: np.ndarray) -> Outcome:
    """What whoever gives all choices of all questions these nats [sum of choices] would choose."""
    texts, shares, at = [], [], 0
    for each in questions:
        own = nats[at : at + len(each.among)]
        at += len(each.among)
        sizes = np.asarray([len(text.encode()) for text in each.among])
        texts.append(each.among[int(own.argmin())])
        shares.append(float(each.among[int((own / sizes).argmin())] == each.text))
    return Outcome(texts=tuple(texts), shares=tuple(shares))


def commonest_place(train: Sequence[Document], questions: Sequence[Choice]) -> Outcome:
    """The choice at the place where most right answers stand in training."""
    right = [document[-1] for document in train]
    places = Counter(each.among.index(each.text) for each in right if isinstance(each, Choice))
    order = [place for place, _ in places.most_common()]
    return Outcome(texts=tuple(next((e.among[at] for at in order if at < len(e.among)), e.among[0]) for e in questions))


def n_gram_nats(train: Sequence[Document], asked: Sequence[tuple[Document, str]]) -> np.ndarray:
    """float64[n]: nats of each answer after its prompt, of a model of five bytes that counted the training texts."""
    told = [prompt_text(document) for document in train]
    model = NGram.fit(told, ORDERS[1], whole=[False] * len(told))
    before = [prompt_text(prompt) for prompt, _ in asked]
    both = [text + answer for text, (_, answer) in zip(before, asked, strict=True)]
    ends = [False] * len(asked)
    return model.nats(both, whole=ends) - model.nats(before, whole=ends)
