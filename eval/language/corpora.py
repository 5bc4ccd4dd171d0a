"""The corpora part of an evaluation: every corpus that a run was trained on, each of its splits, measured or kept."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from generalist.agent.sampling import SamplingConfig
from generalist.corpora.drawings import Drawings
from generalist.corpora.open import open_corpus, splits
from generalist.corpora.series import SeriesCorpus
from generalist.corpora.worlds import Worlds
from generalist.envs.files import read_json, write_json
from generalist.eval.config import EvaluationConfig
from generalist.eval.language.corpus_record import CorpusRecord, corpus_to_json
from generalist.eval.language.drawing import measure_drawings
from generalist.eval.language.forecasts import measure_series
from generalist.eval.language.measure import measure_corpus
from generalist.eval.language.worlds import measure_worlds
from generalist.eval.parts import MEASURE
from generalist.eval.progress import EvaluationDisplay
from generalist.play.agent import Agent
from generalist.play.forecaster import Forecaster
from generalist.play.painter import Painter
from generalist.play.writer import Writer
from generalist.train.config import PUBLIC

ANSWER_TOKENS = 96
"""An answer or caption that is longer is cut."""


def measure_corpora(
    agent: Agent, config: EvaluationConfig, folder: Path, display: EvaluationDisplay
) -> list[dict[str, Any]]:
    """One JSON entry per corpus and split, for `corpora` of report.json; finished ones are kept in `folder`."""
    trained = [each.corpus for each in agent.run.config.documents]
    asked = (config.corpora or trained) if config.documents else ()
    if PUBLIC in asked:
        raise ValueError("what a public model was trained on is not here: name corpora to measure it on (--corpora)")
    return [
        _entry(agent, number, corpus, split, config, folder, display)
        for number, corpus in enumerate(asked)
        for split in splits(corpus)
    ]


def _entry(
    agent: Agent,
    number: int,
    corpus: str,
    split: Any,
    config: EvaluationConfig,
    folder: Path,
    display: EvaluationDisplay,
) -> dict[str, Any]:
    path = folder / f"corpus-{number}.{split}.json"
    fingerprint = {"corpus": corpus, "split": split, "step": agent.step, "documents": config.documents}
    known = _kept(path, fingerprint)
    if known is None:
        known = corpus_to_json(_measured(writer_for(agent, corpus), corpus, split, config.documents))
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, {"fingerprint": fingerprint, "entry": known})
    display.corpus_done(f"{corpus}, {split}")
    return known


def writer_for(agent: Agent, corpus: str) -> Writer:
    """An agent as the source of this corpus; of one that it was not trained on, as that of its first documents."""
    trained = [each.corpus for each in agent.run.config.documents]
    if not trained:
        raise ValueError(f"this run was trained without documents, so that nothing can be asked of it on {corpus}")
    return Writer.of(agent, trained.index(corpus) if corpus in trained else 0)


def _measured(writer: Writer, corpus: str, split: Any, limit: int) -> CorpusRecord:
    train, test, window = open_corpus(corpus), open_corpus(corpus, split), writer.config.window
    if isinstance(train, SeriesCorpus) and isinstance(test, SeriesCorpus):
        return measure_series(Forecaster(writer), test, name=corpus, split=split, limit=limit)
    if isinstance(train, Worlds) and isinstance(test, Worlds):
        return measure_worlds(Painter.of(writer), train, test, name=corpus, split=split, limit=limit)
    if isinstance(train, Drawings) and isinstance(test, Drawings):
        return measure_drawings(Painter.of(writer), train, test, name=corpus, split=split, limit=limit)
    return measure_corpus(
        writer,
        train,
        test,
        name=corpus,
        split=split,
        limit=limit,
        sampling=SamplingConfig(max_tokens=ANSWER_TOKENS),
        tokens=lambda text: len(writer.layout.text.encode(text)),
        fits=lambda document: writer.length(document) < window,  # likelihoods add an `end` to a piece of a text
    )


def _kept(path: Path, fingerprint: Mapping[str, Any]) -> dict[str, Any] | None:
    if not path.exists():
        return None
    stored = read_json(path, "", MEASURE)
    return stored["entry"] if stored.get("fingerprint") == fingerprint else None
