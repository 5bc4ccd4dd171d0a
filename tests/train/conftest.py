"""Fixtures of several files here."""

from exports import copy, export  # noqa: F401 (fixtures)
