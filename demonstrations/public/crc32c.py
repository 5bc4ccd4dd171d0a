"""CRC-32C (Castagnoli, RFC 3720), with which TFRecord files protect their records; in NumPy, so no package is needed.

Bytes are split into lanes that are folded side by side, and the lanes' checksums are joined at the end.
"""

from __future__ import annotations

import functools

import numpy as np

POLYNOMIAL = 0x82F63B78
"""Reversed bits, as in RFC 3720."""
MASK = 0xA282EAD8
LANES = 1024


def crc32c(data: bytes) -> int:
    """The checksum of all of `data`."""
    whole = len(data) // LANES * LANES
    state = _lanes(np.frombuffer(data, np.uint8, whole).reshape(LANES, -1)) if whole else 0xFFFFFFFF
    table = _table()
    for byte in data[whole:]:
        state = int(table[(state ^ byte) & 0xFF]) ^ (state >> 8)
    return state ^ 0xFFFFFFFF


def masked_crc32c(data: bytes) -> int:
    """As TFRecord stores it: rotated and moved, so that checksums of data that holds checksums stay good."""
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + MASK) & 0xFFFFFFFF


def _lanes(lanes: np.ndarray) -> int:
    """The register after uint8[LANES, length], lane after lane."""
    register = np.zeros(LANES, np.uint32)
    register[0] = 0xFFFFFFFF
    table = _table()
    for column in np.ascontiguousarray(lanes.T):
        register = table[(register ^ column) & 0xFF] ^ (register >> 8)
    span = lanes.shape[1]
    while len(register) > 1:  # it is linear: shift the left lane over the right one's bytes and add
        register = _apply(_zeros(span), register[0::2]) ^ register[1::2]
        span *= 2
    return int(register[0])


@functools.cache
def _table() -> np.ndarray:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(POLYNOMIAL), table >> 1).astype(np.uint32)
    return table


@functools.lru_cache(maxsize=256)
def _zeros(count: int) -> np.ndarray:
    """uint32[32]: where each bit of the register goes while `count` zero bytes pass; by repeated squaring."""
    operator = np.uint32(1) << np.arange(32, dtype=np.uint32)
    power = _apply_byte(operator)
    while count:
        if count & 1:
            operator = _apply(power, operator)
        power = _apply(power, power)
        count >>= 1
    return operator


def _apply_byte(register: np.ndarray) -> np.ndarray:
    return _table()[register & 0xFF] ^ (register >> 8)


def _apply(operator: np.ndarray, registers: np.ndarray) -> np.ndarray:
    """The linear `operator` on each of the registers, bit by bit."""
    result = np.zeros_like(registers)
    for bit in range(32):
        result ^= np.where((registers >> np.uint32(bit)) & np.uint32(1), operator[bit], np.uint32(0)).astype(np.uint32)
    return result
