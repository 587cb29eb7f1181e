"""The stages of a run, and what is done with finished ones."""

from __future__ import annotations
