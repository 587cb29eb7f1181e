"""Complete runs: the only part of the project that knows flags and run folders."""

from __future__ import annotations
