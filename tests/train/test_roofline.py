"""How fast a compiled program can be at most: products, memory and transfers of programs whose sums are known."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from generalist.train.roofline import Roofline, roofline
from generalist.train.topologies import Chip

CHIP = Chip("round numbers", "cuda", 10**9, flops=1e6, bandwidth=1e6, network=1e3)

PROGRAM = """HloModule jit_f, is_scheduled=true

%sliced (p: f32[100,10], i: s32[]) -> f32[1,10] {
  %p = f32[100,10] parameter(0)
  %i = s32[] parameter(1)
  ROOT %d = f32[1,10] dynamic-slice(%p, %i, %i), dynamic_slice_sizes={1,10}
}

%changed (p: f32[100,10], u: f32[1,10]) -> f32[100,10] {
  %p = f32[100,10] parameter(0)
  %u = f32[1,10] parameter(1)
  ROOT %d = f32[100,10] dynamic-update-slice(%p, %u, %i, %i)
}

%body (t: (f32[100,10])) -> (f32[100,10]) {
  %x = f32[100,10] get-tuple-element(%t), index=0
  %s = f32[1,10] fusion(%x, %i), kind=kLoop, calls=%sliced
  %c = f32[100,10] fusion(%x, %s), kind=kLoop, calls=%changed
  ROOT %r = (f32[100,10]) tuple(%c)
}

%condition (t: (f32[100,10])) -> pred[] {
  ROOT %c = pred[] constant(true)
}

ENTRY %main (a: f32[100,20], b: f32[20,10]) -> f32[100,10] {
  %a = f32[100,20] parameter(0)
  %b = f32[20,10] parameter(1)
  %g = (f32[50]{0}, f32[100]{0}) all-gather-start(%v), channel_id=1, dimensions={0}
  %y = f32[100,10] dot(%a, %b), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  %h = f32[100] all-gather-done(%g)
  %w = (f32[100,10]) while(%y), condition=%condition, body=%body, backend_config={"known_trip_count":{"n":"5"}}
  ROOT %r = f32[100,10] get-tuple-element(%w), index=0
}
"""


def test_every_sum_of_a_written_program():
    found = roofline(PROGRAM, CHIP)
    assert found.flops == 2 * 100 * 20 * 10
    product = 4 * (100 * 20 + 20 * 10 + 100 * 10)  # read and written
    slices = 5 * ((4 * 10 + 4) + 4 * 10)  # of what is sliced one row, the index, the row written
    updates = 5 * (4 * 10 + 4 * 10)  # a row read, a row changed: the rest stays
    assert found.bytes == pytest.approx(product + slices + updates, abs=5 * 8)
    assert found.compute == pytest.approx(0.04)
    transfer, meanwhile = 400 / 1e3, max(0.04, product / 1e6)
    assert found.network == pytest.approx(transfer)
    assert found.exposed == pytest.approx(transfer - meanwhile)
    assert found.bound == pytest.approx(transfer + (found.bytes - product) / 1e6)


def test_a_loop_whose_length_is_in_its_condition_alone():
    """As a TPU's compiler writes it."""
    before, after = PROGRAM.split("  ROOT %c = pred[] constant(true)\n")
    counted = """  %n = s32[]{:T(128)} constant(5), metadata={op_name="while"}
  %i = s32[]{:T(128)} get-tuple-element(%t), index=0
  ROOT %c = pred[]{:T(512)} compare(%i, %n), direction=LT, metadata={op_name="lt"}
"""
    after = after.replace(', backend_config={"known_trip_count":{"n":"5"}}', "")
    assert roofline(before + counted + after, CHIP) == roofline(PROGRAM, CHIP)
    assert roofline(before + counted.replace("(5)", "(1)") + after, CHIP).bytes < roofline(PROGRAM, CHIP).bytes


@pytest.mark.parametrize(
    ("given", "kernel", "out", "window", "pairs"),
    [
        (
            "2,3,5",
            "3,5,7",
            "2,5,7",
            "size=3 pad=2_2 rhs_reversal=1",
            3 * 3,
        ),  # each place of one meets each of the other
        ("2,3,5", "3,5,7", "2,1,7", "size=3", 3),
        ("2,7,5", "3,5,7", "2,3,7", "size=3 stride=2", 3 * 3),
        ("2,4,5", "3,5,7", "2,4,7", "size=3 pad=1_1", 4 * 3 - 2),
        ("2,2,5", "2,5,7", "2,4,7", "size=2 pad=1_1 lhs_dilate=2", 2 * 2),
    ],
)
def test_a_convolution_counts_what_its_kernel_meets(given, kernel, out, window, pairs):
    product = "dot(%a, %b), lhs_contracting_dims={1}, rhs_contracting_dims={0}"
    written = f"convolution(%a, %b), window={{{window}}}, dim_labels=b0f_0io->b0f"
    program = PROGRAM.replace(f"%y = f32[100,10] {product}", f"%y = f32[{out}] {written}")
    program = program.replace("%a = f32[100,20]", f"%a = f32[{given}]").replace(
        "%b = f32[20,10]", f"%b = f32[{kernel}]"
    )
    assert roofline(program, CHIP).flops == 2 * 2 * 7 * 5 * pairs


def test_a_transfer_that_nothing_runs_beside_is_waited_for_whole():
    done = "  %h = f32[100] all-gather-done(%g)\n"
    without = PROGRAM.replace(done, "")
    found = roofline(without.replace("  %y = f32[100,10] dot", f"{done}  %y = f32[100,10] dot"), CHIP)
    assert found.exposed == found.network == pytest.approx(0.4)


def test_what_lies_beside_the_processor_is_not_read_from_memory():
    near = PROGRAM.replace("%b = f32[20,10] parameter(1)", "%b = f32[20,10]{1,0:T(8,128)S(1)} parameter(1)")
    assert roofline(PROGRAM, CHIP).bytes - roofline(near, CHIP).bytes == 4 * 20 * 10
    assert roofline(PROGRAM, CHIP).flops == roofline(near, CHIP).flops


def test_products_in_a_loop_are_counted_as_often_as_they_run_and_take_no_longer_than_is_measured():
    """Of a chip that is twice as fast as any this runs on."""

    @jax.jit
    def products(x):
        return jax.lax.scan(lambda x, _: (jnp.tanh(x @ x), None), x, length=7)[0]

    x = jnp.asarray(np.random.default_rng(0).normal(size=(256, 256)), jnp.float32)
    text = products.lower(x).compile().as_text()
    fast = Chip("fast", "cuda", 10**9, flops=1e13, bandwidth=1e12, network=1e9)
    found = roofline(text, fast)
    assert found.flops == pytest.approx(7 * 2 * 256**3, rel=0.01)
    products(x).block_until_ready()
    begun = time.perf_counter()
    products(x).block_until_ready()
    assert 0 < found.bound < time.perf_counter() - begun


def test_parts_add_up():
    assert Roofline(compute=1, bound=2) + Roofline(compute=3, flops=4) == Roofline(compute=4, bound=2, flops=4)
    assert Roofline(memory=1.5, exposed=1) * 2 == Roofline(memory=3, exposed=2)
