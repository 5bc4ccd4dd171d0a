"""A fresh interpreter that is sent pickled things on its standard input and answers on its standard output.

It runs nothing of the parent's `__main__` and touches no accelerator. It ends as soon as its input is closed, which the
operating system does even when the parent is killed with SIGKILL. Signals that reach the whole terminal group or job
are the parent's business: it ignores them from its first instant. What it prints is kept, and told when it dies.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import IO, Any

IGNORED = (signal.SIGINT, signal.SIGTERM)
START = """\
import json, signal, sys
for each in {ignored}:
    signal.signal(each, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {ignored})
sys.path[:] = json.loads(sys.argv[1])
from {module} import {function}
{function}()
"""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
NO_DEVICE = {"JAX_PLATFORMS": "cpu"}
"""The memory of accelerators is the parent's."""
_LENGTH = struct.Struct("<Q")


class Child:
    """The parent's side.

    Args:
        main: "module:function", which is called without arguments and uses `ParentPipes`.
    """

    def __init__(self, main: str):
        module, _, function = main.partition(":")
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 (closed in `stop`)
        code = START.format(module=module, function=function, ignored=[int(each) for each in IGNORED])
        with _blocked(IGNORED):
            self._process = subprocess.Popen(
                [sys.executable, "-c", code, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._output,
                env=ONE_THREAD | os.environ | NO_DEVICE,
            )
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("pipes were asked for")
        self._to, self._from = self._process.stdin, self._process.stdout
        _widen(self._from)

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, content: Any) -> None:
        """Nothing happens if it has died: `receive` tells."""
        data = pickle.dumps(content, protocol=pickle.HIGHEST_PROTOCOL)
        with contextlib.suppress(BrokenPipeError):
            _write_message(self._to, data)

    def receive(self) -> Any:
        """What it sent next; waits for it. Raises EOFError: it died, or was stopped; what unpickling raised."""
        try:
            data = _read_message(self._from)
        except (OSError, ValueError) as cause:  # closed meanwhile
            raise EOFError from cause
        return pickle.loads(data)

    def stop(self) -> None:
        """Kill it, if it has not ended, and give up its pipes; nobody may be waiting in `receive` after that."""
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._to.close()

    def close(self) -> None:
        """After `stop`, when nobody waits in `receive` any more."""
        self._from.close()
        self._output.close()

    def exit_status(self) -> str:
        """How it ended; waits for that."""
        code = self._process.wait()
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"

    def last_output(self) -> str:
        """The end of what it printed."""
        self._output.seek(0)
        return self._output.read()[-4000:].decode(errors="replace")


def _widen(pipe: IO[bytes]) -> None:
    """A pipe of a megabyte, where the system allows it: a child that sends much is woken less often."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, 1 << 20)


@contextlib.contextmanager
def _blocked(signals: tuple[signal.Signals, ...]) -> Iterator[None]:
    """Processes started inside begin with these signals blocked, so that none arrives before they are ignored."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class ParentPipes:
    """The child's side, to be made once and before anything is printed."""

    def __init__(self) -> None:
        incoming, self._answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)  # what is printed must not mix with the answers
        self._contents: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(incoming,), daemon=True).start()

    def receive(self) -> Any:
        """What the parent sent next; waits for it. Raises what unpickling it raised."""
        content = self._contents.get()
        if isinstance(content, _Unreadable):
            raise content.error
        return content

    def send(self, content: Any) -> None:
        _write_message(self._answers, pickle.dumps(content, protocol=pickle.HIGHEST_PROTOCOL))

    def _read(self, stream: Any) -> None:
        while True:
            try:
                data = _read_message(stream)
            except EOFError:
                os._exit(0)  # the parent is gone or done
            try:
                self._contents.put(pickle.loads(data))
            except Exception as error:
                self._contents.put(_Unreadable(error))


def _write_message(stream: IO[bytes], data: bytes) -> None:
    """Its length goes before it, so that what cannot be unpickled does not spoil what comes after."""
    stream.write(_LENGTH.pack(len(data)))
    stream.write(data)
    stream.flush()


def _read_message(stream: IO[bytes]) -> bytes:
    """Raises EOFError at the end of the stream, also inside a message."""
    [length] = _LENGTH.unpack(_read_whole(stream, _LENGTH.size))
    return _read_whole(stream, length)


def _read_whole(stream: IO[bytes], length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return data


class _Unreadable:
    def __init__(self, error: Exception):
        self.error = error
