"""The stages of a run, and the analysis and export of trained runs."""

from __future__ import annotations
