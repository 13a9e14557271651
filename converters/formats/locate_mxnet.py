"""Which files an MXNet model has: ``<prefix>-symbol.json`` and ``<prefix>-<epoch>.params``.

The prefixes of the two usually agree and sometimes do not (``det1-newjson-symbol.json`` with ``det1-0001.params``):
a symbol without weights of its own prefix takes the only weights there are.
"""

from __future__ import annotations

import re
from pathlib import Path

from facecvt.converters.errors import UsageError, WeightsError
from facecvt.converters.formats.model_files import MxnetFiles, ambiguous, files_of, model_name, no_such_path

_SYMBOL_SUFFIX = "-symbol.json"
_WEIGHTS = re.compile(r"(?P<prefix>.+?)(?:-(?P<epoch>\d{4,}))?\.(?:params|npz)")
_PREFIX_AND_EPOCH = re.compile(r"(?P<prefix>.+),(?P<epoch>\d+)")  # how InsightFace's scripts spell a model

Weights = list[tuple[int | None, Path]]  # of one prefix: epoch (None where the name has no number), file


def is_mxnet_file(path: Path) -> bool:
    """True for what makes a folder one with an MXNet model."""
    return path.name.endswith(_SYMBOL_SUFFIX)


def locate_mxnet_folder(folder: Path, epoch: int | None = None) -> MxnetFiles:
    """The one model of a folder that has a symbol.

    Raises:
        AmbiguousModelError: more than one symbol, or more than one possible weights file.
        WeightsError: no weights.
    """
    symbols = [path for path in files_of(folder) if is_mxnet_file(path)]
    if len(symbols) != 1:
        remedy = "name one of them"
        raise ambiguous(folder, f"{len(symbols)} MXNet models lie there", (path.name for path in symbols), remedy)
    return _with_weights(symbols[0], epoch)


def locate_mxnet_path(path: Path, epoch: int | None = None) -> MxnetFiles:
    """The model that a symbol file, a weights file or a prefix names.

    Raises:
        UsageError: nothing of that name, or a weights file without a symbol, or of another epoch than asked for.
        AmbiguousModelError: more than one possible partner.
        WeightsError: no weights.
    """
    if path.is_file():
        return _with_weights(path, epoch) if path.suffix == ".json" else _with_symbol(path, epoch)
    symbol = path.with_name(path.name + _SYMBOL_SUFFIX)
    if symbol.is_file():
        return _with_weights(symbol, epoch)
    weights = _weights_by_prefix(path.parent).get(path.name) if path.parent.is_dir() else None
    if weights:
        return _with_symbol(_pick_epoch(path.parent, weights, epoch)[1], None)
    short_form = _PREFIX_AND_EPOCH.fullmatch(path.name)
    if short_form and epoch is None:
        return locate_mxnet_path(path.with_name(short_form["prefix"]), int(short_form["epoch"]))
    raise no_such_path(path, "MXNet model (a prefix, a -symbol.json, a .params, a folder or an archive)")


def _with_weights(symbol: Path, epoch: int | None) -> MxnetFiles:
    prefix = _symbol_prefix(symbol)
    groups = _weights_by_prefix(symbol.parent)
    if not groups:
        raise WeightsError(
            f"{symbol}: no weights found; looked for {prefix}-<epoch>.params and any other .params beside it"
        )
    if prefix in groups:
        weights = groups[prefix]
    elif len(groups) == 1:
        (weights,) = groups.values()
    else:
        names = (path.name for group in groups.values() for _, path in group)
        remedy = f"none is called {prefix}-<epoch>.params; name the right one instead of the symbol"
        raise ambiguous(symbol, "several weights files lie beside it", names, remedy)
    found_epoch, params = _pick_epoch(symbol, weights, epoch)
    return MxnetFiles(model_name(prefix, symbol.parent), symbol, params, found_epoch)


def _with_symbol(params: Path, epoch: int | None) -> MxnetFiles:
    match = _WEIGHTS.fullmatch(params.name)
    if match is None:
        raise UsageError(f"{params}: neither a symbol (.json) nor weights (.params, .npz) of an MXNet model")
    found_epoch = int(match["epoch"]) if match["epoch"] else None
    if epoch is not None and epoch != found_epoch:
        raise UsageError(f"{params} is not of the epoch {epoch} that --epoch asks for; leave one of the two out")
    symbol = _symbol_for(params, match["prefix"])
    return MxnetFiles(model_name(_symbol_prefix(symbol), symbol.parent), symbol, params, found_epoch)


def _symbol_for(params: Path, prefix: str) -> Path:
    for own_name in (prefix + _SYMBOL_SUFFIX, prefix + ".json"):
        if (own := params.with_name(own_name)).is_file():
            return own
    symbols = [path for path in files_of(params.parent) if is_mxnet_file(path)]
    if len(symbols) == 1:
        return symbols[0]
    if symbols:
        remedy = f"none is called {prefix}{_SYMBOL_SUFFIX}; name the right one instead of the weights"
        raise ambiguous(params, "several symbols lie beside it", (path.name for path in symbols), remedy)
    raise UsageError(f"{params}: weights without a symbol; looked for {prefix}{_SYMBOL_SUFFIX} and any other beside it")


def _symbol_prefix(symbol: Path) -> str:
    return symbol.name.removesuffix(_SYMBOL_SUFFIX).removesuffix(".json")


def _weights_by_prefix(folder: Path) -> dict[str, Weights]:
    groups: dict[str, Weights] = {}
    for path in files_of(folder):
        if match := _WEIGHTS.fullmatch(path.name):
            groups.setdefault(match["prefix"], []).append((int(match["epoch"]) if match["epoch"] else None, path))
    return groups


def _pick_epoch(where: Path, weights: Weights, epoch: int | None) -> tuple[int | None, Path]:
    chosen = weights if epoch is None else [entry for entry in weights if entry[0] == epoch]
    if not chosen:
        there = ", ".join(path.name for _, path in weights)
        raise UsageError(f"{where}: no weights of epoch {epoch}; there are {there}")
    if len(chosen) > 1:
        remedy = "choose one with --epoch" if epoch is None else "name the one that is meant"
        raise ambiguous(where, "weights of several epochs lie there", (path.name for _, path in chosen), remedy)
    return chosen[0]
