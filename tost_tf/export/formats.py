"""The names of the formats of exports."""

from __future__ import annotations

FORMATS = ("saved_model", "tflite", "keras3")
PRECISIONS = ("float32", "float16", "int8")
