"""Statistics of two agents that played the same episodes: differences with intervals, tests, episodes that are missing.

A difference is the mean over episodes of the second agent's score less the first's, so that what makes an episode easy
or hard for both cancels out. How its interval is made was chosen by how often it holds the truth (4,000 simulated
comparisons of each kind, 20 to 50 episodes a task; the kinds are those of the tests):

    success        Wald's interval with Laplace's adjustment of Bonett and Price 2012 ("Adjusted Wald confidence
                   interval for a difference of binomial proportions based on paired data"; recommended by Fagerland et
                   al. 2014, "Recommended tests and confidence intervals for paired binomial proportions"): one episode
                   that the first agent alone solved and one that the second alone solved are added to those that were
                   played. It held the truth in 94.2% or more, 98% on average. A percentile bootstrap, or Student's t,
                   fell to 44% where both nearly always succeed: with no episode that tells them apart it has no width.
    other scores   Student's t: 93 to 96% of differences of normal, log-normal, two-sided and cut-off returns. A
                   percentile bootstrap held the truth in 89 to 94%, a bootstrap of t in 88 to 94%. Where one agent
                   alone has a long tail to one side (log-normal, sigma 0.8, the other's 0.3), t holds it in 89 to 93%:
                   50 episodes are better than 20.

Several tasks are combined by adding the variances of their means, as the episodes of each are drawn by themselves
(stratified); degrees of freedom after Welch and Satterthwaite. Among tasks scored by success the two added episodes are
shared, so that they weigh as much in a mean over many tasks as in one.

Several training runs of an agent add the variance between runs, see `_between_runs`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import special, stats

from generalist.eval.report.statistics import Interval

FLIPS = 99_999
"""Random changes of signs, of 2**n that there are, from which a test of more than 16 episodes gets its p."""
LARGEST_FLIPS = 2**22
"""Signs in memory at once."""
ADDED = 1.0
"""Episodes of each kind that are added where the score is success."""
POWER = 0.8
MOST_RUNS = 1000
"""Of one configuration; nobody trains more to settle a difference."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Scores of two agents on the same episodes of one task.

    Args:
        first, second: [runs, episodes]: of each training run of the agent, in its own unit; mostly one run.
        success: scores are 1.0 or 0.0.
        scale: by which a difference is multiplied where tasks are combined: 1 / (expert - random).
    """

    first: Float[np.ndarray, "K E"]
    second: Float[np.ndarray, "L E"]
    success: bool
    scale: float = 1.0

    def __post_init__(self):
        shapes = self.first.shape, self.second.shape
        if any(len(shape) != 2 or 0 in shape for shape in shapes) or shapes[0][1] != shapes[1][1]:
            raise ValueError(f"two agents need [runs, episodes] with the same episodes, got shapes {shapes}")
        if not (np.isfinite(self.first).all() and np.isfinite(self.second).all()):
            raise ValueError("scores that are not finite have no difference")

    @property
    def differences(self) -> Float[np.ndarray, "E"]:
        """Second less first, of each episode, over the mean of runs."""
        return self.second.mean(0) - self.first.mean(0)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A difference and how well it is known.

    `centre` is where its interval has its middle; it differs from `value` where episodes were added. `variance` is that
    of the mean, `freedom` its degrees of freedom (infinite for the normal law).
    """

    value: float
    centre: float
    variance: float
    freedom: float
    bound: float = math.inf

    def interval(self, confidence: float = 0.95) -> Interval:
        """Holds `value`; cut at +-`bound`, the largest difference there can be."""
        half = _quantile((1 + confidence) / 2, self.freedom) * math.sqrt(self.variance)
        low, high = max(self.centre - half, -self.bound), min(self.centre + half, self.bound)
        return Interval(value=self.value, low=min(low, self.value), high=max(high, self.value))

    @property
    def p(self) -> float:
        """Two-sided, of no difference, by the same law as the interval."""
        if not self.variance:
            return 1.0 if not self.centre else 0.0
        return float(2 * stats.t.sf(abs(self.centre) / math.sqrt(self.variance), self.freedom))


def _quantile(share: float, freedom: float) -> float:
    """Of Student's t; `scipy.stats.t.ppf` without its checks, which take longer than all else here."""
    return float(special.ndtri(share) if math.isinf(freedom) else special.stdtrit(freedom, share))


def estimate(pairs: Sequence[Pair]) -> Estimate:
    """The difference over tasks: the mean of the tasks' scaled differences.

    All pairs must be of the same runs where there are several.

    Raises:
        ValueError: no task; or a single episode, which says nothing about others.
    """
    if not pairs:
        raise ValueError("a difference needs at least one task")
    if few := [pair for pair in pairs if pair.differences.size < 2]:
        raise ValueError(f"an interval needs at least two episodes of every task, got {few[0].differences.size}")
    shares = [pair.scale / len(pairs) for pair in pairs]
    added = ADDED / max(1, sum(pair.success for pair in pairs))
    value = centre = 0.0
    parts: list[tuple[float, float]] = []
    for pair, share in zip(pairs, shares, strict=True):
        middle, variance, freedom = _moments(pair, added if pair.success else 0.0)
        value += share * float(pair.differences.mean())
        centre += share * middle
        parts.append((share**2 * max(0.0, variance - _interplay(pair)), freedom))
    parts += _between_runs(pairs, shares)
    total = sum(variance for variance, _ in parts)
    spread = sum(variance**2 / freedom for variance, freedom in parts)
    return Estimate(
        value=value,
        centre=centre,
        variance=total,
        freedom=total**2 / spread if spread else math.inf,
        bound=sum(abs(share) for share in shares) if all(pair.success for pair in pairs) else math.inf,
    )


def _moments(pair: Pair, added: float) -> tuple[float, float, float]:
    """Mean difference, variance of that mean, and degrees of freedom, with `added` episodes of +1 and of -1."""
    differences = pair.differences
    count = differences.size
    if not added:
        return float(differences.mean()), float(differences.var(ddof=1)) / count, count - 1
    middle = float(differences.sum()) / (count + 2 * added)
    second = (float((differences**2).sum()) + 2 * added) / (count + 2 * added)
    return middle, (second - middle**2) / (count + 2 * added), math.inf


def _between_runs(pairs: Sequence[Pair], shares: Sequence[float]) -> list[tuple[float, float]]:
    """What training luck adds where an agent has several runs: variance, and its degrees of freedom; else nothing.

    Runs and episodes are crossed: every run plays the same episodes. The variance between the runs' means has that
    between runs and that of run and episode together, over the episodes (`_interplay`), which is taken out of the
    variance between episodes, so that nothing is counted twice (Searle et al. 1992, "Variance Components", ch. 4).
    Both agents are taken to vary alike from run to run, as in Student's test of two samples, so that one run can stand
    beside several. It held the truth in 94 to 96% of 2,000 simulated comparisons of one to five runs with one to five,
    with no training luck and with as much as there is between episodes. Drawing runs anew, and episodes within (a
    hierarchical bootstrap), held it in 57 to 99.6%, of three runs with three in 84 to 99.6%: three that are drawn from
    three are too alike.
    """
    sides = [
        np.asarray(sum(share * scores.mean(1) for share, scores in zip(shares, scores_of, strict=True)))
        for scores_of in ([pair.first for pair in pairs], [pair.second for pair in pairs])
    ]
    freedom = sum(means.size - 1 for means in sides)
    if not freedom:
        return []
    between = sum(float(((means - means.mean()) ** 2).sum()) for means in sides) / freedom
    return [(between * sum(1 / means.size for means in sides), freedom)]


def _interplay(pair: Pair) -> float:
    """Variance of the mean difference that comes from run and episode together; 0 where both have one run."""
    sides, episodes = (pair.first, pair.second), pair.first.shape[1]
    freedom = sum(len(scores) - 1 for scores in sides) * (episodes - 1)
    if not freedom:
        return 0.0
    left = [scores - scores.mean(0) - scores.mean(1, keepdims=True) + scores.mean() for scores in sides]
    single = sum(float((each**2).sum()) for each in left) / freedom
    return single * sum(1 / (len(scores) * episodes) for scores in sides)


def mcnemar(first: Float[np.ndarray, "E"], second: Float[np.ndarray, "E"]) -> float:
    """Two-sided p of McNemar's exact test: of the episodes that one agent alone solved, each is as likely either's.

    Source: McNemar 1947; the binomial law in place of his chi-squared.
    """
    lost, won = int(np.sum(first > second)), int(np.sum(second > first))
    return float(stats.binomtest(won, won + lost).pvalue) if won + lost else 1.0


def sign_flips(differences: Float[np.ndarray, "E"], *, seed: int = 0) -> float:
    """Two-sided p of the paired permutation test of a mean: each difference is as likely with the other sign.

    For differences of success it is McNemar's exact test. All changes of signs up to 16 differences that are not 0,
    else `FLIPS` random ones (Phipson and Smyth 2010: the one seen is among them, so that p is never 0).
    """
    left = differences[differences != 0]
    if not left.size:
        return 1.0
    scaled = left / np.abs(left).max()
    # Sums of the same numbers in another order differ by rounding.
    least = abs(scaled.sum()) - 1e-5
    if left.size <= 16:
        signs = 1.0 - 2.0 * ((np.arange(2**left.size)[:, None] >> np.arange(left.size)) & 1)
        return int(np.sum(np.abs(signs @ scaled) >= least)) / len(signs)
    rng, reached, flips = np.random.default_rng(seed), 0, np.array([-1.0, 1.0], np.float32)
    rows = max(1, LARGEST_FLIPS // left.size)  # together: all at once would be gigabytes of thousands of episodes
    for done in range(0, FLIPS, rows):
        signs = rng.choice(flips, (min(rows, FLIPS - done), left.size))
        reached += int(np.sum(np.abs(signs @ scaled) >= least))
    return (reached + 1) / (FLIPS + 1)


def holm(ps: Sequence[float]) -> list[float]:
    """Adjusted p of several tests (Holm 1979): below 0.05, the chance of any false one among them is at most 5%."""
    order = np.argsort(ps)
    stepped = [min(1.0, (len(ps) - rank) * ps[index]) for rank, index in enumerate(order)]
    adjusted = np.maximum.accumulate(stepped)
    return [float(adjusted[place]) for place in np.argsort(order)]


def count_to_settle(value: float, variance: float, now: int, *, tests: int = 1, confidence: float = 0.95) -> int | None:
    """How many episodes make half the interval as wide as the difference, if both stay what they are.

    Args:
        value: the difference that was observed.
        variance: of the mean, with the `now` that there are; it falls as 1 / count.
        tests: among how many the difference must stand out (Bonferroni's bound, which Holm's first step has).

    Returns:
        More than `now`; None where no difference was observed, which no number settles.
    """
    if not value:
        return None
    width = float(stats.norm.isf((1 - confidence) / 2 / tests))
    return max(now + 1, math.ceil(now * width**2 * variance / value**2 - 1e-9))


def runs_to_settle(
    value: float, variance: float, now: tuple[int, int], *, tests: int = 1, confidence: float = 0.95
) -> int | None:
    """The same, in training runs on each side: t of so few runs is wider than the normal law.

    Returns:
        More than the smaller of `now`; None where no difference was observed, or `MOST_RUNS` would not do.
    """
    if not value:
        return None
    single = variance / sum(1 / runs for runs in now)
    for runs in range(max(2, min(now) + 1), MOST_RUNS + 1):
        width = _quantile(1 - (1 - confidence) / 2 / tests, 2 * (runs - 1))
        if width * math.sqrt(single * 2 / runs) <= abs(value):
            return runs
    return None


def count_to_find(
    size: float, variance: float, now: int, *, tests: int = 1, exact: bool = False, confidence: float = 0.95
) -> int:
    """How many episodes find a true difference of `size` in 80 of 100 comparisons, at 5% false ones.

    The usual normal approximation, n = ((z_0.975 + z_0.8) s / size)**2 with s of single differences.

    Args:
        tests: among how many it must stand out, as for `count_to_settle`.
        exact: the test is one of signs, whose p is never below 2 / 2**n.
    """
    alpha = (1 - confidence) / tests
    width = float(stats.norm.isf(alpha / 2) + stats.norm.ppf(POWER))
    fewest = math.ceil(math.log2(2 / alpha)) if exact else 2
    return max(fewest, math.ceil(now * width**2 * variance / size**2 - 1e-9))
