"""Messages of the policy server, in the form of the package `openpi-client`: msgpack, arrays as bytes, dtype and shape.

Nothing is unpickled: an array's dtype must be one of plain numbers, and its bytes exactly as many as its shape says.
"""

import math
from collections.abc import Mapping
from typing import Any

import msgpack
import numpy as np

NUMBERS = "?biuf"
"""Kinds of dtypes that are read."""
MOST_AXES = 32


def pack(value: Any) -> bytes:
    """A message: nested dicts and lists of numbers, texts, bytes and NumPy arrays."""
    return msgpack.Packer(default=_described).pack(value)


def unpack(data: bytes) -> Any:
    """What a message says; its arrays are read-only.

    Raises:
        ValueError: it is not msgpack, nested too deep, or describes an array of other kinds or of another size.
    """
    try:
        return msgpack.unpackb(data, object_hook=_value)
    except (msgpack.UnpackException, ValueError, TypeError, RecursionError) as error:
        raise ValueError(
            f"the message is not msgpack as openpi-client writes it: {error or type(error).__name__}"
        ) from None


def _described(value: Any) -> dict[bytes, Any]:
    if isinstance(value, np.ndarray) and value.dtype.kind in NUMBERS:
        return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}
    if isinstance(value, np.generic) and value.dtype.kind in NUMBERS:
        return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}
    raise TypeError(f"a {type(value).__name__} cannot be sent")


def _value(found: Mapping[Any, Any]) -> Any:
    if b"__ndarray__" in found:
        return _array(found)
    if b"__npgeneric__" in found:
        return _dtype(found).type(found[b"data"])
    return found


def _array(found: Mapping[Any, Any]) -> np.ndarray:
    dtype, shape, data = _dtype(found), found.get(b"shape"), found.get(b"data")
    if not isinstance(shape, list) or len(shape) > MOST_AXES or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("an array's shape must be a list of lengths")
    if not isinstance(data, bytes) or len(data) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"an array of shape {tuple(shape)} and dtype {dtype} needs other bytes than it has")
    return np.frombuffer(data, dtype).reshape(shape)


def _dtype(found: Mapping[Any, Any]) -> np.dtype:
    name = found.get(b"dtype")
    if not isinstance(name, str) or len(name) > 4 or name.lstrip("<>=|")[:1] not in NUMBERS:
        raise ValueError(f"an array's dtype must be a number's, got {name!r:.40}")
    return np.dtype(name)
