"""What is said of a mesh of chips that are not here."""

import pytest

from generalist.train.topologies import CHIPS, advice


@pytest.mark.parametrize(
    ("chip", "mesh", "width", "better"),
    [
        ("v5p", (1, 64, 1), 2048, "--mesh 4 16 1"),
        ("v5e", (2, 24, 2), 2048, "--mesh 3 16 2"),
        ("v5e", (1, 4, 1), 64, "--mesh 4 1 1"),
        ("v5p", (4, 16, 1), 2048, ""),
        ("h100", (1, 64, 1), 2048, ""),
    ],
)
def test_columns_of_a_matrix_fill_the_lanes_of_a_tpu(chip, mesh, width, better):
    said = advice(CHIPS[chip], mesh, width)
    assert better in said
    assert bool(said) == bool(better)
