"""Muon (Jordan et al. 2024) through optax, for matrices that lie on several devices.

optax makes a matrix nearly orthogonal by fifteen products with itself. Split over devices, that of every layer would be
gathered whole for most of them. Here the moment lies as the parameter does, and what is made orthogonal is exchanged
before, so that each device has some layers whole, and after.
"""

from typing import Any

import jax
import optax
from optax.contrib import MuonState, scale_by_muon

from generalist.agent.sharding import axes_dividing, split_first, unite_first

BETA = 0.95


def by_layers(eps: float, weight_dimension_numbers: Any) -> optax.GradientTransformation:
    """`optax.contrib.scale_by_muon` with Nesterov's moment; the same state, the same numbers.

    A kernel of three axes is a stack of layers. Where their number divides over no axis of the mesh, and for all other
    kernels, the compiler does as it likes.
    """
    given = {"eps": eps, "weight_dimension_numbers": weight_dimension_numbers}
    whole, bare = scale_by_muon(beta=BETA, **given), scale_by_muon(beta=0.0, nesterov=False, **given)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, MuonState]:
        del params
        moment = optax.tree.update_moment(updates, state.mu, BETA, 1)
        count = optax.safe_increment(state.count)
        ahead = jax.tree.map(
            lambda m, g: BETA * m + (1 - BETA) * g,
            optax.tree.bias_correction(moment, BETA, optax.safe_increment(count)),
            optax.tree.bias_correction(updates, BETA, count),
        )
        split = jax.tree.map(lambda x: split_first(x, axes) if (axes := _axes(x)) else x, ahead)
        made, _ = bare.update(split, bare.init(split))
        made = jax.tree.map(lambda x: unite_first(x, _axes(x)), made)
        return made, MuonState(count=count, mu=moment, ns_coeffs=state.ns_coeffs)

    return optax.GradientTransformation(whole.init, update)


def _axes(kernel: jax.Array) -> tuple[str, ...]:
    return axes_dividing(kernel.shape[0]) if kernel.ndim == 3 else ()
