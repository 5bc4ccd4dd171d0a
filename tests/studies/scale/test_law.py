"""The fit of the scaling law: a published one again, known laws inside their intervals, and what it refuses."""

import csv
from pathlib import Path

import numpy as np
import pytest

from generalist.studies.scale.law import DELTA, Fit, Law, Runs, bootstrap_laws, fit_law, percentiles

PUBLISHED = Path(__file__).resolve().parents[4] / "shared" / "data" / "chinchilla_runs.csv"
"""Beside the checkout or nowhere: 245 runs of Hoffmann et al. 2022, read off Figure 4 by Besiroglu et al. 2024."""
TRUE = Law(E=0.4, log_size_term=3.0, log_token_term=5.0, alpha=0.35, beta=0.4, objective=0.0)


def made_up(noise: float = 0.01, law: Law = TRUE, seed: int = 0) -> Runs:
    sizes, tokens = (grid.ravel() for grid in np.meshgrid([3e4, 1e5, 3e5, 1e6, 3e6], [3e5, 1e6, 3e6, 1e7, 3e7]))
    wobble = np.exp(noise * np.random.default_rng(seed).normal(size=len(sizes)))
    return Runs(sizes, tokens, law.loss(sizes, tokens) * wobble)


@pytest.fixture(scope="module")
def published() -> Runs:
    if not PUBLISHED.exists():
        pytest.skip(f"{PUBLISHED.name} is not in shared/data beside this checkout")
    with PUBLISHED.open() as file:
        rows = [[float(row[name]) for name in ("parameters", "flops", "loss")] for row in csv.DictReader(file)]
    parameters, flops, loss = np.array(sorted(rows, key=lambda row: row[2])[:-5]).T
    return Runs(parameters, flops / (6 * parameters), loss)


def test_the_published_fit_is_found_again(published):
    law = fit_law(published)
    assert law.values()["E"] == pytest.approx(1.817, abs=0.002)
    assert law.alpha == pytest.approx(0.3475, abs=0.0015)
    assert law.beta == pytest.approx(0.3665, abs=0.0015)
    assert law.values()["A"] == pytest.approx(482, rel=0.03)
    assert law.values()["B"] == pytest.approx(2085, rel=0.05)
    assert law.size_exponent == pytest.approx(0.513, abs=0.002)
    theirs = Law(
        E=1.8172, log_size_term=np.log(482.01), log_token_term=np.log(2085.43), alpha=0.3478, beta=0.3658, objective=0.0
    )
    residual = np.abs(np.log(theirs.loss(published.parameters, published.tokens) / published.loss))
    assert law.objective <= np.where(residual < DELTA, residual**2 / 2, DELTA * (residual - DELTA / 2)).sum()


@pytest.mark.slow
def test_its_standard_errors_are_the_published_ones(published):
    laws = [law for law, _ in bootstrap_laws(published, resamples=250)]
    spread = {name: np.std([law.values()[name] for law in laws]) for name in laws[0].values()}
    wanted = {"E": 0.026, "alpha": 0.015, "beta": 0.021, "A": 124.5, "B": 1293, "a": 0.020}
    assert {name: spread[name] / wanted[name] for name in wanted} == pytest.approx(dict.fromkeys(wanted, 1.0), abs=0.25)


def test_a_law_without_noise_is_found_exactly():
    law = fit_law(made_up(noise=0.0))
    found = [law.E, law.log_size_term, law.log_token_term, law.alpha, law.beta]
    assert found == pytest.approx([0.4, 3.0, 5.0, 0.35, 0.4], rel=1e-3)
    assert law.at_bound == ()


def test_known_parameters_lie_inside_their_intervals():
    laws = [law for law, _ in bootstrap_laws(made_up(), resamples=60)]
    for name, value in TRUE.values().items():
        low, high = percentiles([law.values()[name] for law in laws])
        assert low < value < high
        assert low < high


def test_the_order_of_runs_does_not_matter_and_equal_runs_give_an_equal_fit():
    runs = made_up()
    order = np.random.default_rng(1).permutation(len(runs))
    turned = Runs(runs.parameters[order], runs.tokens[order], runs.loss[order])
    assert fit_law(turned) == fit_law(runs) == fit_law(made_up())
    one, other = (bootstrap_laws(each, resamples=4, seed=3) for each in (runs, turned))
    assert [law for law, _ in one] == [law for law, _ in other]


def test_units_change_the_coefficients_alone():
    runs = made_up()
    law, thousands = fit_law(runs), fit_law(Runs(runs.parameters / 1e3, runs.tokens / 1e3, runs.loss))
    assert (thousands.alpha, thousands.beta, thousands.E) == pytest.approx((law.alpha, law.beta, law.E), rel=1e-3)
    assert thousands.log_size_term == pytest.approx(law.log_size_term - law.alpha * np.log(1e3), rel=1e-3)


def test_the_gradient_is_that_of_the_objective():
    fit, theta, step = Fit.of(made_up()), np.array([-1.0, -1.3, -0.6, 0.3, 0.5]), 1e-6
    _, gradient = fit.objective(theta)
    moved = [(fit.objective(theta + d)[0] - fit.objective(theta - d)[0]) / (2 * step) for d in step * np.eye(5)]
    assert gradient == pytest.approx(np.array(moved), rel=1e-4)
    assert fit.objectives(theta[None])[0] == pytest.approx(fit.objective(theta)[0])


def test_the_best_size_has_the_lowest_loss_of_its_compute():
    compute = 1e13
    best = float(TRUE.best_size(compute))
    others = best * np.array([0.5, 0.9, 1.0, 1.1, 2.0])
    assert np.argmin(TRUE.loss(others, compute / 6 / others)) == 2
    grown = np.log(TRUE.best_size(100 * compute) / best) / np.log(100)
    assert grown == pytest.approx(TRUE.size_exponent)
    assert TRUE.size_exponent + TRUE.token_exponent == pytest.approx(1)


def test_what_the_runs_do_not_determine_is_named():
    flat = Law(
        E=0.4, log_size_term=-60.0, log_token_term=5.0, alpha=0.35, beta=0.4, objective=0.0
    )  # size does not matter
    assert set(fit_law(made_up(noise=0.0, law=flat)).at_bound) & {"A", "alpha"}


@pytest.mark.parametrize(
    ("sizes", "tokens", "said"),
    [
        ([1e4] * 5, [1, 2, 3, 4, 5], "5 runs cannot determine the law's 5 parameters"),
        ([1e4, 2e4] * 4, [1, 2, 3, 4, 5, 6, 7, 8], "2 different sizes"),
        ([1, 2, 3, 4, 5, 6, 7, 8], [1e4, 2e4] * 4, "2 different token counts"),
        ([1, 2, 3, 4, 5, np.nan], [1, 2, 3, 4, 5, 6], "parameters of all runs must be positive and finite"),
    ],
)
def test_too_few_runs_are_refused(sizes, tokens, said):
    with pytest.raises(ValueError, match=said):
        Runs(np.array(sizes), np.array(tokens), np.ones(len(sizes)))
