"""Findings from made-up runs: intervals, a prediction that holds, and weakness that is said."""

from functools import cache

import numpy as np
import pytest

from generalist.studies.scale.findings import Findings
from generalist.studies.scale.law import Law
from generalist.studies.scale.success import Logistic

TRUE = Law(E=0.4, log_size_term=3.0, log_token_term=5.0, alpha=0.35, beta=0.4, objective=0.0)
CURVE = Logistic(half=1.1, width=0.15, at_bound=False)


def run(parameters: float, tokens: float, wobble: float = 0.0) -> dict:
    loss = float(TRUE.loss(parameters, tokens) * np.exp(wobble))
    return {"parameters": parameters, "tokens": tokens, "loss": loss, "score": float(CURVE(loss)), "success": None}


def runs(noise: float, seed: int = 0) -> list[dict]:
    rng = np.random.default_rng(seed)
    sizes, tokens = (3e4, 1e5, 3e5, 1e6), (3e5, 1e6, 3e6, 1e7)
    return [run(size, count, noise * rng.normal()) for size in sizes for count in tokens]


@cache
def findings() -> Findings:
    return Findings(runs(0.01), resamples=25)


def test_the_run_outside_comes_inside_its_interval():
    found = findings().predict(3e6, 3e7)
    came = run(3e6, 3e7)
    for name in ("loss", "score"):
        low, high = found[name]["interval"]
        assert low < came[name] < high
        assert low < found[name]["value"] < high
    assert "success" not in found  # no task of these knows it


def test_intervals_widen_with_noise_and_far_from_the_runs():
    def width(found: dict) -> float:
        low, high = found["loss"]["interval"]
        return (high - low) / found["loss"]["value"]

    near, far = (width(findings().predict(*at)) for at in ((3e5, 3e6), (1e9, 1e10)))
    noisy = width(Findings(runs(0.05), resamples=25).predict(3e5, 3e6))
    assert near < far
    assert near < noisy


def test_the_order_of_runs_does_not_matter():
    turned = [runs(0.01)[i] for i in np.random.default_rng(4).permutation(16)]
    assert Findings(turned, resamples=5).to_json() == Findings(runs(0.01), resamples=5).to_json()


def test_a_law_that_is_determined_is_not_called_weak():
    found = Findings(runs(0.001), resamples=30).to_json()["law"]
    assert found["weak"] == []
    assert found["resamples_at_bound"] == 0
    for name, value in TRUE.values().items():
        low, high = found["values"][name]["interval"]
        assert low <= found["values"][name]["value"] <= high
        assert value == pytest.approx(found["values"][name]["value"], rel=0.3)


def test_what_is_not_determined_is_said_with_numbers():
    rng = np.random.default_rng(0)
    flat = [each | {"loss": float(np.exp(0.05 * rng.normal()))} for each in runs(0.0)]
    found = Findings(flat, resamples=16).to_json()["law"]
    assert found["resamples_at_bound"] > 3
    assert sum(found["bounds_reached"].values()) >= found["resamples_at_bound"]
    assert any("end at a bound" in said for said in found["weak"])


def test_the_frontier_is_below_every_point_of_the_law_with_its_compute():
    curves = findings().curves()
    law = findings().law
    for compute, best in zip(curves["compute"], curves["frontier"]["value"], strict=True):
        sizes = np.geomspace(1e3, 1e9, 50)
        assert best <= law.loss(sizes, compute / 6 / sizes).min() + 1e-9
