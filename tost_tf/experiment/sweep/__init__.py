"""Grids of runs on a Dask cluster."""

from __future__ import annotations
