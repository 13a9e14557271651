"""The document that ``--json`` of a conversion prints; its schema is docs/schemas/conversion.schema.json.

    {"schema_version", "command", "source": {...}, "target": {...}, "input_contract": {...},
     "verification": {"verdict", "batches", "layers_compared", "coverage", "outputs", "first_divergence", "float16"},
     "warnings": [...]}

The same conversion gives the same bytes, wherever and whenever it runs, but for the paths. JSON has no number for NaN
and Inf: they are null. Why a verdict is not "agree" stands in ``warnings``.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from facecvt.parity_tests.report.written import NOT_ASKED
from facecvt.parity_tests.verification import Float16Proof, TensorResult, Verification, not_verified

if TYPE_CHECKING:
    from facecvt.converters.contract import InputContract
    from facecvt.converters.conversion import Conversion

SCHEMA_VERSION = "1.0"


def conversion_document(
    conversion: Conversion, verification: Verification | None, *, model: str | None = None, reference: str | None = None
) -> dict[str, Any]:
    """The JSON document of a conversion.

    Args:
        conversion: what was converted.
        verification: how both sides compare; None where nobody asked.
        model: the source as the user spelled it; by default its first file.
        reference: the reference architecture that the source is, None where it is files of the user.
    """
    found = verification if verification is not None else not_verified(NOT_ASKED)
    files = [str(path) for path in conversion.source_files]
    return {
        "schema_version": SCHEMA_VERSION,
        "command": f"{conversion.source_framework}2{conversion.target_framework}",
        "source": {
            "framework": conversion.source_framework,
            "model": model if model is not None else files[0],
            "files": files,
            "reference": reference,
        },
        "target": {
            "framework": conversion.target_framework,
            "path": str(conversion.target),
            "files": [str(path) for path in conversion.files],
            "recognised": conversion.recognised,
        },
        "input_contract": _contract(conversion.contracts),
        "verification": {
            "verdict": found.verdict,
            "batches": list(found.batches),
            "layers_compared": found.layers_compared,
            "coverage": {
                "parametric": _number(found.coverage.parametric),
                "taps": _number(found.coverage.taps),
            },
            "outputs": [{"name": result.name, **_figures(result)} for result in found.outputs],
            "first_divergence": _divergence(found.first_divergence),
            **({"float16": _float16(found.float16)} if found.float16 is not None else {}),
        },
        "warnings": [*conversion.warnings, *found.warnings, *found.reasons],
    }


def conversion_json(
    conversion: Conversion, verification: Verification | None, *, model: str | None = None, reference: str | None = None
) -> str:
    """:func:`conversion_document` as text."""
    document = conversion_document(conversion, verification, model=model, reference=reference)
    return json.dumps(document, indent=2, allow_nan=False)


def _contract(contracts: list[InputContract]) -> dict[str, Any]:
    """The first input's contract; those of further inputs under ``others``."""
    first, *others = [contract.as_json() for contract in contracts] or [{}]
    return {**first, "others": others}


def _figures(result: TensorResult) -> dict[str, Any]:
    metrics = result.metrics
    return {
        "rel_rmse": _number(metrics.rel_rmse) if metrics is not None else None,
        "max_abs": _number(metrics.max_abs) if metrics is not None else None,
        "one_minus_cos": _number(metrics.one_minus_cos) if metrics is not None else None,
        "floor": _number(result.floor),
        "ratio": _number(result.ratio),
    }


def _float16(proof: Float16Proof) -> dict[str, Any]:
    return {
        "operators": proof.plan.nodes,
        "weights": proof.plan.weights,
        "float32": [{"node": kept.node, "operator": kept.operator, "reason": kept.reason} for kept in proof.plan.kept],
        "differences": list(proof.differences),
        "same_model_in_float32": {
            "verdict": proof.single.verdict,
            "outputs": [{"name": result.name, **_figures(result)} for result in proof.single.outputs],
        },
        "limits": [
            {"name": name, "rel_rmse": _number(rel_rmse), "one_minus_cos": _number(one_minus_cos)}
            for name, rel_rmse, one_minus_cos in proof.limits
        ],
    }


def _divergence(result: TensorResult | None) -> dict[str, Any] | None:
    if result is None:
        return None
    worst = result.metrics.worst if result.metrics is not None else None
    return {
        "name": result.name,
        "operator": result.operator,
        "node": result.node,
        "target": result.target,
        "input": {"kind": result.kind, "batch": result.batch},
        **_figures(result),
        "bits_lost": _number(result.bits_lost),
        "worst": None
        if worst is None
        else {"index": list(worst.index), "expected": _number(worst.expected), "actual": _number(worst.actual)},
        "reason": result.reason,
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
