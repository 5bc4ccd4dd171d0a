import numpy as np
import pytest

from generalist.demonstrations.public.crc32c import LANES, crc32c, masked_crc32c


def bitwise(data: bytes) -> int:
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_published_values(data, value):
    """RFC 3720, appendix B.4; the second is the check value of the catalogue of CRC algorithms."""
    assert crc32c(data) == value


@pytest.mark.parametrize("size", [1, LANES - 1, LANES, LANES + 1, 3 * LANES, 5 * LANES + 7])
def test_lanes_are_joined_as_bit_by_bit(size):
    data = np.random.default_rng(size).bytes(size)
    assert crc32c(data) == bitwise(data)


def test_the_mask_is_tfrecords():
    # The header of every record of 11 bytes as TensorFlow writes it: length, then this checksum.
    assert masked_crc32c((11).to_bytes(8, "little")) == (
        ((bitwise((11).to_bytes(8, "little")) >> 15 | bitwise((11).to_bytes(8, "little")) << 17) + 0xA282EAD8) % 2**32
    )
