"""Whole runs: the only part that knows flags and folders."""

from __future__ import annotations
