"""What a margin head's state is called in each framework, and how it goes from one to another.

canonical                 torch         paddle        mxnet
weight (C, D)             weight        weight        fc7_weight      class centres; published heads have their own name
                          (C, D)        (D, C)        (C, D)          and layout, which the options say
batch_mean (1,)           batch_mean    batch_mean    batch_mean      AdaFace's moving averages
batch_std (1,)            batch_std     batch_std     batch_std
                          t             t                             zeros that nothing reads, part of AdaFace's state
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from facecvt.converters.errors import WeightsError

if TYPE_CHECKING:  # the names of architectures and heads are told without numpy
    import numpy as np

    from facecvt.converters.formats.mapped import Array
    from facecvt.reference_models.heads.spec import HeadSpec

State = dict[str, "np.ndarray[tuple[int, ...], np.dtype[np.generic]]"]

ROWS, COLUMNS = "rows", "columns"
LAYOUTS = {"torch": ROWS, "paddle": COLUMNS, "mxnet": ROWS}
CENTRES = {"torch": "weight", "paddle": "weight", "mxnet": "fc7_weight"}
AVERAGES = ("batch_mean", "batch_std")
UNUSED = "t"


def state_names(head: HeadSpec, framework: str) -> dict[str, str]:
    """Canonical name -> the framework's, in the order of its state."""
    names = {"weight": head.centres_name(framework)}
    if head.kind == "adaface":
        names |= {name: name for name in AVERAGES}
    return names


def head_to_canonical(state: Mapping[str, Array], head: HeadSpec, framework: str) -> State:
    """Arrays by canonical name, the centres as rows, from one framework's state.

    Raises:
        WeightsError: an entry is missing or left over.
    """
    import numpy as np

    from facecvt.converters.formats.mapped import as_numpy

    names = state_names(head, framework)
    missing = sorted(set(names.values()) - state.keys())
    left = sorted(state.keys() - set(names.values()) - {UNUSED})
    if missing or left:
        raise WeightsError(
            f"this state is not that of head {head.name} in {framework}: missing {', '.join(missing) or 'nothing'}; "
            f"left over {', '.join(left) or 'nothing'}. Check the head and its options."
        )
    arrays = {canonical: as_numpy(state[name]) for canonical, name in names.items()}
    if head.layout(framework) == COLUMNS:
        arrays["weight"] = np.ascontiguousarray(arrays["weight"].T)
    return arrays


def head_from_canonical(arrays: Mapping[str, Array], head: HeadSpec, framework: str) -> State:
    """One framework's state, in its own order, from arrays by canonical name.

    Raises:
        WeightsError: an array is missing.
    """
    import numpy as np

    from facecvt.converters.formats.mapped import as_numpy

    names = state_names(head, framework)
    missing = sorted(names.keys() - arrays.keys())
    if missing:
        raise WeightsError(f"weights for head {head.name} lack {', '.join(missing)}")
    state: State = {}
    for canonical, name in names.items():
        array = as_numpy(arrays[canonical])
        columns = canonical == "weight" and head.layout(framework) == COLUMNS
        state[name] = np.ascontiguousarray(array.T) if columns else array
        if canonical == "weight" and head.kind == "adaface" and framework != "mxnet":
            state[UNUSED] = np.zeros(1, array.dtype)
    return state
