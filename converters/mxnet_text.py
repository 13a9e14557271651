"""How MXNet spells what a symbol says: names of nodes, and attributes, which are all texts."""

from __future__ import annotations

from typing import Any

import numpy as np


def stem_of(name: str) -> str:
    """The node name whose output MXNet calls ``name``; the name itself where there is none."""
    return name.removesuffix("_output") or name


def float_text(number: float) -> str:
    """The shortest decimal that gives back the float32 nearest to a number."""
    if not np.isfinite(number):
        return str(float(number))
    for digits in range(1, 18):
        text = f"{number:.{digits}g}"
        if np.float32(text) == np.float32(number):
            return text if any(mark in text for mark in ".e") else f"{text}.0"
    return repr(number)


def text_of(value: Any) -> str:
    """An attribute as MXNet writes it."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return str(value)
    if isinstance(value, (list, tuple)):
        return f"({text_of(value[0])},)" if len(value) == 1 else f"({', '.join(map(text_of, value))})"
    if isinstance(value, (float, np.floating)):
        return float_text(float(value))
    return str(int(value))
