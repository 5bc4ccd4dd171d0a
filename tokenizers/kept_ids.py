"""Ids of pictures that were encoded before, by content, in a file: no later start encodes them again.

SQLite stores them: several processes may read and write one file at once, and one that is killed damages nothing. Where
the folder cannot be written, or the file is damaged, ids are kept in memory alone.
"""

import hashlib
import sqlite3
from functools import cached_property
from pathlib import Path

import numpy as np

WAITED = 5.0
"""Seconds that one process waits for another's write before it goes on in memory."""


class KeptIds:
    """int32[tokens] by the content of pictures.

    Args:
        folder: of the file, which is made; None keeps ids in memory alone.
        version: of the tokenizer, which names the file.
        tokens: ids of a picture.
        codes: every id is less, and at most 2**16.
    """

    def __init__(self, folder: Path | None, version: str, tokens: int, codes: int):
        self.path = folder and folder / f"{version}.sqlite"
        self._form = folder, version, tokens, codes

    def __reduce__(self):
        return KeptIds, self._form  # connections stay where they are

    def get(self, key: bytes) -> np.ndarray | None:
        """The ids that were kept under `key_of` a picture; None where there are none, or none of this form."""
        *_, tokens, codes = self._form
        try:
            row = self._connection.execute("SELECT ids FROM pictures WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error:
            self._forget_file()
            return None
        if row is None or len(row[0]) != 2 * tokens:
            return None
        ids = np.frombuffer(row[0], "<u2").astype(np.int32)
        return ids if ids.max() < codes else None

    def put(self, key: bytes, ids: np.ndarray) -> None:
        """Keep int[tokens]."""
        try:
            self._connection.execute(
                "INSERT OR REPLACE INTO pictures VALUES (?, ?)", (key, ids.astype("<u2").tobytes())
            )
        except sqlite3.Error:
            self._forget_file()

    @cached_property
    def _connection(self) -> sqlite3.Connection:
        if self.path is None:
            return _table(":memory:")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return _table(str(self.path))
        except (OSError, sqlite3.Error):
            return _table(":memory:")

    def _forget_file(self) -> None:
        self._connection.close()
        self._connection = _table(":memory:")


def key_of(picture: np.ndarray) -> bytes:
    """16 bytes of a picture's content."""
    return hashlib.blake2b(np.ascontiguousarray(picture).tobytes(), digest_size=16).digest()


def _table(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=WAITED, isolation_level=None, check_same_thread=False)
    # What is lost with the machine's power is encoded again.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("CREATE TABLE IF NOT EXISTS pictures (key BLOB PRIMARY KEY, ids BLOB) WITHOUT ROWID")
    return connection
