"""What was measured on one corpus, and the numbers that follow from it; JSON of both for report.json.

As with the tasks of `report.py`, a `CorpusRecord` holds only what was measured, document by document: `to_json` adds
scores with intervals, `from_json` drops them again. Every score stands beside the same score of plain baselines on the
same documents.

One entry of `corpora` in report.json holds the fields of `CorpusRecord`, beside them `documents` (how many were
measured), `scores[i]` (name, better: "higher" or "lower", agent and baselines[name]: value and ci95, signature) and
`confusion` (labels only: of the agent, a row for each truth, a column for what was said; otherwise null).
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import ModuleType
from typing import Any, Literal

import numpy as np

from generalist.corpora.corpus import Corpus, Measure, score_of
from generalist.envs.task import MissingExtra
from generalist.eval.language.intervals import ratio_interval, wilson
from generalist.eval.language.things import PARTS, things_in
from generalist.eval.report.statistics import Interval, bootstrap_mean_ci

AGENT = "agent"
BASELINES: dict[Measure, tuple[str, ...]] = {
    "text": ("unigram", "five_gram"),
    "label": ("majority_class", "pixels", "bands_regression", "bands_neighbours", "bands_forest"),
    "answer": ("commonest_answer", "five_gram"),
    "caption": ("commonest_caption", "nearest_picture"),
    "dialogue": ("unigram", "five_gram", "commonest_answer"),
    "drawing": ("unigram_ids", "clusters", "retrieval", "rebuilt"),
    "series": ("naive", "seasonal_naive", "smoothing", "autoregression"),
    "world": ("unigram_ids", "unchanged", "nearest_frame", "rebuilt"),
    "choice": ("guess", "commonest_place", "five_gram"),
}
"""Of each measure, the simplest first."""

DERIVED = ("documents", "scores", "confusion")
AGREEING = 3
"""So many people with the same answer make it wholly right (Antol et al. 2015, sec. 3)."""

BOOTSTRAPS = 1000
"""Resamples of BLEU and chrF."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the agent or a baseline did, one value per document.

    nats: -log p of the targets. texts: what it said. errors: scaled errors of numbers, or squared ones of a frame.
    shares: of true numbers inside its 80% interval, of the blocks of a frame that changed those it has right, whether
    a real picture is read right by who learnt from its drawings, whether the right choice is the likeliest for its
    length; of a guess, its chance; of an answer, what the corpus itself gives for it. Each is None where it was not
    asked for.
    """

    nats: tuple[float, ...] | None = None
    texts: tuple[str, ...] | None = None
    errors: tuple[float, ...] | None = None
    shares: tuple[float, ...] | None = None

    def __post_init__(self):
        if self.nats is not None and not np.isfinite(self.nats).all():
            raise ValueError("a text has no finite likelihood: NaN weights, or a model that rules its bytes out")


@dataclass(frozen=True, kw_only=True)
class Example:
    """One document for people: words of the prompt, its last picture (PNG in base64), the truth, and who said what."""

    prompt: str
    truth: str
    said: Mapping[str, str]
    png: str | None = None


@dataclass(frozen=True, kw_only=True)
class CorpusRecord:
    """One split of one corpus, measured.

    Args:
        numbers: which documents were measured, in the order of everything below.
        truths: of each document the texts that count as right; none for measure "text".
        sizes: bytes of UTF-8 of each document's target texts.
        tokens: of each document's target texts, each `end` included; None if they were not counted.
        damaged: messages of training and test documents that could not be read.
        too_long: test documents that were left out because the agent's window is shorter.
        learnt_from: training documents that the baselines were fitted on.
    """

    corpus: str
    split: Literal["test", "heldout"]
    measure: Measure
    labels: tuple[str, ...] = ()
    numbers: tuple[int, ...]
    truths: tuple[tuple[str, ...], ...] = ()
    sizes: tuple[int, ...] = ()
    tokens: tuple[int, ...] | None = None
    outcomes: Mapping[str, Outcome]
    examples: tuple[Example, ...] = ()
    damaged: tuple[str, ...] = ()
    too_long: int = 0
    learnt_from: int
    seconds: float

    def __post_init__(self):
        if unknown := {*self.outcomes} - {AGENT, *BASELINES[self.measure]}:
            known = ", ".join((AGENT, *BASELINES[self.measure]))
            raise ValueError(f"{self.corpus}: unknown outcomes {sorted(unknown)}; {self.measure} knows {known}")
        columns = {"truths": self.truths, "sizes": self.sizes, "tokens": self.tokens or ()}
        columns |= {f"texts of {name}": outcome.texts or () for name, outcome in self.outcomes.items()}
        columns |= {f"nats of {name}": outcome.nats or () for name, outcome in self.outcomes.items()}
        columns |= {f"errors of {name}": outcome.errors or () for name, outcome in self.outcomes.items()}
        for name, values in columns.items():
            if len(values) not in (0, len(self.numbers)):
                raise ValueError(
                    f"{self.corpus}: {len(values)} {name} for {len(self.numbers)} documents; give one each"
                )


@dataclass(frozen=True, kw_only=True)
class Score:
    """One number of the agent and of every baseline that has it, with 95% intervals."""

    name: str
    better: Literal["higher", "lower"]
    values: Mapping[str, Interval]
    signature: str = field(default="")
    """How it was computed, in the words of the library that did."""


def by_the_corpus(outcomes: Mapping[str, Outcome], corpus: Corpus, numbers: Sequence[int]) -> dict[str, Outcome]:
    """Outcomes with what the corpus itself gives for each text that was said of these documents, where it does."""
    if (score := score_of(corpus)) is None:
        return dict(outcomes)
    given = {who: tuple(map(score, numbers, each.texts)) for who, each in outcomes.items() if each.texts}
    return {who: replace(each, shares=given.get(who, each.shares)) for who, each in outcomes.items()}


def scores(record: CorpusRecord) -> list[Score]:
    """The scores of a record's measure, none where no document could be measured."""
    return SCORES[record.measure](record) if record.numbers else []


def text_scores(record: CorpusRecord) -> list[Score]:
    """Bits per byte, which compares across tokenizers, and perplexity per token, which does not.

    Bits per byte are nats / (ln 2 x bytes of UTF-8), all documents together. The nats of the `end` after a whole text
    are counted, it has no bytes. Perplexity of a baseline is per token of the agent's tokenizer too. Intervals are
    bootstraps over documents.
    """
    found = [_ratios(record, "bits per byte", record.sizes, lambda nats: nats / math.log(2))]
    if record.tokens is not None:
        found.append(_ratios(record, "perplexity per token", record.tokens, np.exp))
    return found


def label_scores(record: CorpusRecord) -> list[Score]:
    """Share of documents whose likeliest label is the right one."""
    return [_exact(record, "accuracy")]


def answer_scores(record: CorpusRecord) -> list[Score]:
    """Exact match with one of the right answers, VQA accuracy where a question has several, and the corpus's own score.

    VQA accuracy of an answer is min(matches / min(3, right answers), 1), averaged, without the official averaging over
    all but one of the people (Antol et al. 2015). With one right answer it is exact match and not shown again.
    """
    found = [_exact(record, "exact match")]
    if any(len(truths) > 1 for truths in record.truths):

        def measured(texts: Sequence[str]) -> Interval:
            return bootstrap_mean_ci([vqa_accuracy(*each) for each in zip(texts, record.truths, strict=True)])

        found.append(Score(name="VQA accuracy", better="higher", values=_of_texts(record, measured)))
    if own := {name: bootstrap_mean_ci(each.shares) for name, each in record.outcomes.items() if each.shares}:
        found.append(Score(name="score of the corpus", better="higher", values=own))
    return found


def caption_scores(record: CorpusRecord) -> list[Score]:
    """Corpus BLEU and chrF of sacrebleu (0 to 100), and exact match.

    BLEU stops at the longest n-gram that any caption has (`effective_order`), so that captions of three words have one.

    Raises:
        MissingExtra: sacrebleu is not installed.
    """
    metrics = sacrebleu().metrics
    found = []
    for name, metric in (("BLEU", metrics.BLEU(effective_order=True)), ("chrF", metrics.CHRF())):

        def measured(texts: Sequence[str], metric: Any = metric) -> Interval:
            return _corpus_score(metric, texts, record.truths)

        values = _of_texts(record, measured)
        found.append(Score(name=name, better="higher", values=values, signature=metric.get_signature().format()))
    return [*found, _exact(record, "exact match")]


def dialogue_scores(record: CorpusRecord) -> list[Score]:
    """Bits per byte of what the assistant says given all before it, and exact match of the last thing it says."""
    bits = _ratios(record, "bits per byte", record.sizes, lambda nats: nats / math.log(2))
    return [bits, _exact(record, "exact match of the last answer")]


def drawing_scores(record: CorpusRecord) -> list[Score]:
    """Bits per token of the real pictures, and of the drawn ones what is read back: all of it, and parts of it.

    Parts are compared where words name things as "a red ball": which there are, their colours alone, their kinds alone.
    """
    assert record.tokens is not None
    found = [_ratios(record, "bits per token", record.tokens, lambda nats: nats / math.log(2))]
    if record.outcomes[AGENT].texts is None:
        return found
    found.append(_exact(record, "exact match"))
    shares = {name: each.shares for name, each in record.outcomes.items() if each.shares}
    taught = {name: wilson(round(sum(right)), len(right)) for name, right in shares.items()}
    if AGENT in taught:
        found.append(Score(name="real ones read by who learnt from them", better="higher", values=taught))
    if all(things_in(text) for truths in record.truths for text in truths):
        for name, part in PARTS.items():

            def right(texts: Sequence[str], part: Callable = part) -> Interval:
                both = zip(texts, record.truths, strict=True)
                return wilson(
                    sum(part(things_in(said)) == part(things_in(truths[0])) for said, truths in both), len(texts)
                )

            found.append(Score(name=f"{name} right", better="higher", values=_of_texts(record, right)))
    return found


def series_scores(record: CorpusRecord) -> list[Score]:
    """Mean absolute scaled error (Hyndman & Koehler 2006), and how often the truth is inside the 80% interval.

    An error of 1 is that of the last number as the next one's forecast, in what is known. Intervals are bootstraps over
    windows.
    """
    values = {name: bootstrap_mean_ci(each.errors) for name, each in record.outcomes.items() if each.errors is not None}
    found = [Score(name="scaled error", better="lower", values=values)]
    inside = record.outcomes[AGENT].shares
    if inside is not None:
        found.append(Score(name="inside 80%", better="higher", values={AGENT: bootstrap_mean_ci(inside)}))
    return found


def world_scores(record: CorpusRecord) -> list[Score]:
    """Bits per token of real frames; squared error of forecast ones, 1 is the frame as it was; changed blocks right."""
    assert record.tokens is not None
    found = [_ratios(record, "bits per token", record.tokens, lambda nats: nats / math.log(2))]
    kept = record.outcomes["unchanged"].errors
    assert kept is not None
    errors = {name: ratio_interval(each.errors, kept) for name, each in record.outcomes.items() if each.errors}
    shares = {name: bootstrap_mean_ci(each.shares) for name, each in record.outcomes.items() if each.shares}
    return [
        *found,
        Score(name="squared error", better="lower", values=errors),
        Score(name="changed blocks right", better="higher", values=shares),
    ]


def choice_scores(record: CorpusRecord) -> list[Score]:
    """Share of questions whose likeliest choice is the right one, and whose likeliest per byte is.

    Longer choices are less likely for their length alone; which of the two is the better measure depends on the
    questions (Gao et al. 2021 report both). A guess has the chance that it has.
    """
    by_bytes = {name: each.shares for name, each in record.outcomes.items() if each.shares is not None}
    guess = {"guess": by_bytes.pop("guess")} if "guess" in by_bytes else {}
    chance = {name: bootstrap_mean_ci(each) for name, each in guess.items()}
    exact = _exact(record, "accuracy")
    per_byte = {name: wilson(round(sum(right)), len(right)) for name, right in by_bytes.items()}
    return [
        replace(exact, values={**exact.values, **chance}),
        Score(name="accuracy, per byte", better="higher", values={**per_byte, **chance}),
    ]


SCORES: dict[Measure, Callable[[CorpusRecord], list[Score]]] = {
    "text": text_scores,
    "label": label_scores,
    "answer": answer_scores,
    "caption": caption_scores,
    "dialogue": dialogue_scores,
    "drawing": drawing_scores,
    "series": series_scores,
    "world": world_scores,
    "choice": choice_scores,
}


def confusion(record: CorpusRecord) -> list[list[int]]:
    """How often the agent said each label: a row for each truth, a column for what was said, as `labels` has them."""
    counts = np.zeros((len(record.labels), len(record.labels)), np.int64)
    at = {label: index for index, label in enumerate(record.labels)}
    for (truth,), said in zip(record.truths, record.outcomes[AGENT].texts or (), strict=True):
        counts[at[truth], at[said]] += 1
    return counts.tolist()


def normal_form(text: str) -> str:
    """Lower case, single spaces, none at the ends: differences that are no mistakes."""
    return " ".join(text.lower().split())


def vqa_accuracy(said: str, right: Sequence[str]) -> float:
    """Of one answer; see `answer_scores`."""
    matches = sum(normal_form(said) == normal_form(each) for each in right)
    return min(matches / min(AGREEING, len(right)), 1.0)


def sacrebleu() -> ModuleType:
    """The library. Raises MissingExtra where it is not installed."""
    try:
        import sacrebleu as library
        import sacrebleu.metrics
    except ImportError as cause:
        raise MissingExtra("language", cause) from None
    return library


def _ratios(
    record: CorpusRecord, name: str, sizes: Sequence[int], scale: Callable[[float], float | np.floating]
) -> Score:
    """A score of nats per size, scaled by an increasing function."""
    values = {}
    for who, outcome in record.outcomes.items():
        if outcome.nats is not None:
            found = asdict(ratio_interval(outcome.nats, sizes))
            values[who] = Interval(**{end: float(scale(value)) for end, value in found.items()})
    return Score(name=name, better="lower", values=values)


def _exact(record: CorpusRecord, name: str) -> Score:
    right = [{normal_form(each) for each in truths} for truths in record.truths]

    def measured(texts: Sequence[str]) -> Interval:
        return wilson(sum(normal_form(said) in known for said, known in zip(texts, right, strict=True)), len(texts))

    return Score(name=name, better="higher", values=_of_texts(record, measured))


def _of_texts(record: CorpusRecord, measured: Callable[[Sequence[str]], Interval]) -> dict[str, Interval]:
    return {name: measured(each.texts) for name, each in record.outcomes.items() if each.texts is not None}


def _corpus_score(metric: Any, texts: Sequence[str], truths: Sequence[Sequence[str]], seed: int = 0) -> Interval:
    """A metric of sacrebleu with its 95% percentile bootstrap interval over documents, from its counts per document.

    Not sacrebleu's own bootstrap: that of 2.6.0 fails with a TypeError where some resamples have a BLEU of zero.
    """
    most = max(len(right) for right in truths)
    # Columns of references, None where a document has fewer.
    columns = [[right[i] if i < len(right) else None for right in truths] for i in range(most)]
    value = float(metric.corpus_score(list(texts), columns).score)
    counts = np.asarray(metric._extract_corpus_statistics(list(texts), columns))
    drawn = np.random.default_rng(seed).integers(0, len(texts), (BOOTSTRAPS, len(texts)))
    sums = [counts[rows].sum(axis=0).tolist() for rows in drawn]
    low, high = np.quantile([float(metric._compute_score_from_stats(each).score) for each in sums], [0.025, 0.975])
    return Interval(value=value, low=min(float(low), value), high=max(float(high), value))


def corpus_to_json(record: CorpusRecord) -> dict[str, Any]:
    """One entry of `corpora` in report.json; alone it serves to keep a finished part of an evaluation."""
    labelled = record.measure == "label" and record.numbers
    return {
        **json.loads(json.dumps(asdict(record), allow_nan=False)),
        "documents": len(record.numbers),
        "scores": [_score_to_json(score) for score in scores(record)],
        "confusion": confusion(record) if labelled else None,
    }


def corpus_from_json(entry: Mapping[str, Any]) -> CorpusRecord:
    """The record inside one entry of `corpora`."""
    kept: dict[str, Any] = {name: value for name, value in entry.items() if name not in DERIVED}
    kept |= {name: tuple(value) for name, value in kept.items() if isinstance(value, list)}
    kept["truths"] = tuple(tuple(each) for each in entry["truths"])
    kept["outcomes"] = {name: _outcome_from_json(each) for name, each in entry["outcomes"].items()}
    kept["examples"] = tuple(Example(**each) for each in entry["examples"])
    return CorpusRecord(**kept)


def _outcome_from_json(entry: Mapping[str, Any]) -> Outcome:
    return Outcome(**{name: None if values is None else tuple(values) for name, values in entry.items()})


def _score_to_json(score: Score) -> dict[str, Any]:
    values = {name: {"value": each.value, "ci95": [each.low, each.high]} for name, each in score.values.items()}
    return {
        "name": score.name,
        "better": score.better,
        "agent": values.pop(AGENT, None),
        "baselines": values,
        "signature": score.signature,
    }
