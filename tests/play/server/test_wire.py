"""Messages between a policy's server and its clients: all that is sent comes back, and nothing else is read."""

import pickle

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

pytest.importorskip("msgpack")
from generalist.play.server.wire import pack, unpack

ARRAYS = npst.arrays(
    st.one_of(npst.integer_dtypes(), npst.unsigned_integer_dtypes(), npst.floating_dtypes(), npst.boolean_dtypes()),
    npst.array_shapes(min_dims=0, min_side=0, max_side=4),
)


@given(st.dictionaries(st.text(max_size=5), st.one_of(ARRAYS, st.text(), st.floats(allow_nan=False), st.booleans())))
def test_what_is_packed_comes_back(message):
    found = unpack(pack(message))

    assert list(found) == list(message)
    for name, value in message.items():
        np.testing.assert_array_equal(found[name], value)
        assert np.asarray(found[name]).dtype == np.asarray(value).dtype


def test_a_number_of_numpy_keeps_its_type():
    found = unpack(pack({"a": np.float32(0.5), "b": np.int8(3)}))

    assert (found["a"].dtype, found["b"].dtype) == (np.float32, np.int8)


def described(**changes):
    right = {b"__ndarray__": True, b"data": b"\0" * 8, b"dtype": "<f4", b"shape": [2]}
    return msgpack.packb({"x": right | {key.encode(): value for key, value in changes.items()}})


DAMAGED = {
    "objects": described(dtype="|O", data=pickle.dumps([print])),
    "a date": described(dtype="<M8[s]"),
    "text": described(dtype="<U2"),
    "a structure": described(dtype="f4,f4"),
    "a dtype that is no text": described(dtype=4),
    "too few bytes": described(data=b"\0" * 4),
    "too many bytes": described(data=b"\0" * 12),
    "a shape below zero": described(shape=[-1]),
    "a huge shape": described(shape=[2**40, 2**40]),
    "a huge empty shape": described(shape=[0] * 100, data=b""),
    "a shape that is a number": described(shape=2),
    "a truth as length": described(shape=[True, 2]),
    "no message": b"\xc1",
    "nothing": b"",
    "more than a message": pack({}) + b"\0",
    "a list longer than its bytes": b"\xdd\xff\xff\xff\xff",
    "nested without end": b"\x91" * 100_000,
    "a pickle": pickle.dumps({"observation": 1}),
    "a list as a key": b"\x81\x90\x01",
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED.keys())
def test_what_is_no_message_of_plain_numbers_is_refused(data):
    with pytest.raises(ValueError, match=r"msgpack|array"):
        unpack(data)


def test_what_has_no_plain_numbers_is_not_sent():
    for value in (np.array(["a"]), np.array([None]), object(), 1j):
        with pytest.raises(TypeError):
            pack({"x": value})
