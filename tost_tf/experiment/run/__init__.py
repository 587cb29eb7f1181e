"""One running process and its folder."""

from __future__ import annotations
