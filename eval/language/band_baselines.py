"""Plain baselines of labels of pictures of bands: logistic regression, nearest neighbours, a random forest.

All see the same numbers: those of every pixel where there are few, else four of each band, its mean, standard deviation
and 10th and 90th percentile.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from generalist.eval.language.corpus_record import Outcome
from generalist.tokenizers.bands import Bands
from generalist.tokenizers.parts import Document, prompt_and_answer

FEW = 256
"""Numbers of a picture, up to which each is looked at."""
ITERATIONS, NEIGHBOURS, TREES = 1000, 5, 300

Fit = Callable[[Sequence[Document], Sequence[Document]], Outcome | None]


def band_features(picture: Bands) -> np.ndarray:
    """float32[n]: see the module."""
    if picture.values.size <= FEW:
        return np.nan_to_num(picture.values.reshape(-1), nan=0.0)
    pixels = picture.values.reshape(-1, picture.count).astype(np.float64)
    found = [np.nanmean(pixels, axis=0), np.nanstd(pixels, axis=0), *np.nanpercentile(pixels, (10, 90), axis=0)]
    return np.nan_to_num(np.concatenate(found), nan=0.0).astype(np.float32)


def _fitted(model: Any) -> Fit:
    def labels(train: Sequence[Document], prompts: Sequence[Document]) -> Outcome | None:
        """None without bands, with pictures of several sizes, or with one label in all of `train`."""
        known = _features([prompt_and_answer(document)[0] for document in train])
        asked = _features(prompts)
        answers = [prompt_and_answer(document)[1] for document in train]
        if known is None or asked is None or known.shape[1] != asked.shape[1] or len(set(answers)) < 2:
            return None
        found = model().fit(known, answers).predict(asked)
        return Outcome(texts=tuple(str(label) for label in found))

    return labels


def _features(prompts: Sequence[Document]) -> np.ndarray | None:
    """float32[n, F] of the last picture of each; None where one has no bands, or they differ in size."""
    last = [[part for part in prompt if isinstance(part, Bands)][-1:] for prompt in prompts]
    rows = [band_features(picture) for each in last for picture in each]
    return np.stack(rows) if len(rows) == len(prompts) and len({len(row) for row in rows}) == 1 else None


BAND_BASELINES: dict[str, Fit] = {
    "bands_regression": _fitted(
        lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=ITERATIONS, random_state=0))
    ),
    "bands_neighbours": _fitted(lambda: KNeighborsClassifier(NEIGHBOURS)),
    "bands_forest": _fitted(lambda: RandomForestClassifier(TREES, random_state=0)),
}
"""By name: what gives labels for prompts, from training documents."""
