"""MXNet ``symbol.json`` of every generation (0.8 to 1.9) <-> one record, with MXNet's own upgrades done.

Layout: ``{"nodes": [{op, name, inputs, attrs?}], "arg_nodes", "node_row_ptr"?, "heads", "attrs"?}``.

=================  ==========================================  ============================================
generation         operator parameters and user attributes     an input, a head
=================  ==========================================  ============================================
before 0.9         ``param`` and ``attr``                      ``[node, output]``; auxiliary inputs missing
0.9 to 0.12        ``attr``, both kinds                        ``[node, output, version]``
from 1.0           ``attrs``, both kinds                       ``[node, output, version]``
=================  ==========================================  ============================================

Written is the form of 1.9. All values are strings. ``param`` is inserted under ``attr``: where both name a key,
``attr`` stands. Before 0.9.5 an ``axis`` of -1 in argmax and argmin meant "all axes", which is now said by leaving it
out.

Source: the loader's behaviour (``mx.sym.load`` of 1.9.1), which the tests hold this module against.
"""

from __future__ import annotations

import heapq
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from facecvt.converters.errors import FormatError
from facecvt.converters.formats.atomic import atomic_file

# operator -> names of its auxiliary inputs, which are the last of its inputs
AUX_INPUTS: dict[str, tuple[str, ...]] = {
    "BatchNorm": ("moving_mean", "moving_var"),
    "BatchNorm_v1": ("moving_mean", "moving_var"),
    "CuDNNBatchNorm": ("moving_mean", "moving_var"),
    "_contrib_SyncBatchNorm": ("moving_mean", "moving_var"),
    "SyncBatchNorm": ("moving_mean", "moving_var"),
    "IdentityAttachKLSparseReg": ("moving_avg",),
}
# inputs before the auxiliary ones, with the names that MXNet gives to variables it makes for them
_LEADING_INPUTS: dict[str, tuple[str, ...]] = dict.fromkeys(AUX_INPUTS, ("data", "gamma", "beta"))
_LEADING_INPUTS["IdentityAttachKLSparseReg"] = ("data",)

_USER_KEYS = ("ctx_group", "lr_mult", "wd_mult", "force_mirroring", "mirror_stage", "profiler_scope")
_UNVERSIONED = 800
WRITTEN_VERSION = 10901
UNKNOWN_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\[ubf]")  # MXNet knows \n, \r, \t, \\ and \"


@dataclass
class MxnetNode:
    """One node of a symbol.

    Attributes:
        op: operator name; "null" is a variable.
        name: node name.
        inputs: (index into ``MxnetSymbol.nodes``, output number) of each input.
        attrs: operator parameters as written, strings; empty for a variable.
        user_attrs: everything else, under the key as written: ``__x__``, ``ctx_group``, ``weight_lr_mult``, and
            whatever a variable carries (older files copy its operator's parameters there).
    """

    op: str
    name: str
    inputs: list[tuple[int, int]]
    attrs: dict[str, str] = field(default_factory=dict)
    user_attrs: dict[str, str] = field(default_factory=dict)


@dataclass
class MxnetSymbol:
    """A whole symbol; ``nodes`` are in topological order: every input of a node comes before it.

    Attributes:
        nodes: all nodes that a head needs, in file order.
        heads: (node index, output number) of each output of the model.
        version: ``major * 10000 + minor * 100 + patch`` of the MXNet that wrote it; 800 where the file does not say.
        path: the file.
    """

    nodes: list[MxnetNode]
    heads: list[tuple[int, int]]
    version: int
    path: Path

    def variable_names(self) -> list[str]:
        """Names of all variables in node order, each once: inputs, weights, labels and auxiliary states.

        Variables of one name are bound to one array, because arrays are given by name.
        """
        return list(dict.fromkeys(node.name for node in self.nodes if node.op == "null"))

    def aux_names(self) -> list[str]:
        """Names of the auxiliary states (moving mean and variance), in node order."""
        found: dict[str, None] = {}
        for node in self.nodes:
            if node.op in AUX_INPUTS:
                for index, _ in node.inputs[len(_LEADING_INPUTS[node.op]) :]:
                    if self.nodes[index].op == "null":
                        found[self.nodes[index].name] = None
        return [name for name in self.variable_names() if name in found]

    def argument_names(self) -> list[str]:
        """Names of the variables that are not auxiliary states, in node order."""
        aux = set(self.aux_names())
        return [name for name in self.variable_names() if name not in aux]


def read_symbol(path: str | Path) -> MxnetSymbol:
    """Read a symbol file.

    Args:
        path: a ``-symbol.json``.

    Returns:
        The record, upgraded: auxiliary inputs present, attributes merged.

    Raises:
        FormatError: not JSON, not a symbol, an index that points nowhere or a cycle.
    """
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise FormatError(path, None, f"cannot be opened: {error.strerror}") from error
    try:
        document = json.loads(raw)
    except json.JSONDecodeError as error:
        message = f"not JSON, so no MXNet symbol: {error.msg} (line {error.lineno}): truncated or damaged"
        raise FormatError(path, error.pos, message) from error
    except (ValueError, RecursionError) as error:
        raise FormatError(path, None, f"not JSON, so no MXNet symbol: {error}") from error
    return _Parser(Path(path)).symbol(document)


def write_symbol(path: str | Path, symbol: MxnetSymbol) -> None:
    """Write a symbol file as MXNet 1.9.1 does, with every attribute that the record holds.

    Args:
        path: target; appears whole or not at all.
        symbol: nodes in topological order.

    Raises:
        FormatError: a text holds a control character, for which MXNet's JSON has no form.
    """
    nodes: list[dict[str, Any]] = []
    for node in symbol.nodes:
        entry: dict[str, Any] = {"op": node.op, "name": node.name}
        if node.attrs or node.user_attrs:
            entry["attrs"] = {**node.attrs, **node.user_attrs}
        entry["inputs"] = [[index, output, 0] for index, output in node.inputs]
        nodes.append(entry)
    document = {
        "nodes": nodes,
        "arg_nodes": [index for index, node in enumerate(symbol.nodes) if node.op == "null"],
        "heads": [[index, output, 0] for index, output in symbol.heads],
        "attrs": {"mxnet_version": ["int", WRITTEN_VERSION]},
    }
    text = json.dumps(document, indent=2, ensure_ascii=False)  # MXNet's reader knows no \u and takes bytes as they are
    strange = UNKNOWN_ESCAPE.search(text)
    if strange is not None:
        near = text[text.rfind("\n", 0, strange.start()) + 1 : strange.end()].strip()
        raise FormatError(path, None, f"a name holds a control character, which MXNet cannot read: {near}")
    with atomic_file(path) as stream:
        stream.write(text.encode() + b"\n")


class _Parser:
    """Checks and upgrades one document; every refusal names the node."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fail(self, message: str) -> NoReturn:
        raise FormatError(self.path, None, message)

    def symbol(self, document: Any) -> MxnetSymbol:
        if not isinstance(document, dict) or not isinstance(document.get("nodes"), list):
            self.fail('JSON, but no MXNet symbol: it has no list "nodes"')
        if not isinstance(document.get("heads"), list) or not document["heads"]:
            self.fail('JSON, but no MXNet symbol: it has no list "heads" of outputs')
        version = self._version(document.get("attrs", {}))
        nodes = [self._node(index, entry, version) for index, entry in enumerate(document["nodes"])]
        heads = [self._edge(entry, f"head {index}") for index, entry in enumerate(document["heads"])]
        for node in nodes:
            self._check_edges(node.inputs, nodes, f"{node.op} {node.name!r}")
        self._check_edges(heads, nodes, "the list of heads")
        if version < 900:
            for node in nodes[:]:
                self._append_missing_inputs(node, nodes)
        return self._ordered(nodes, heads, version)

    def _version(self, attrs: Any) -> int:
        if not isinstance(attrs, dict):
            self.fail('"attrs" of the symbol is not an object')
        entry = attrs.get("mxnet_version")
        if entry is None:
            return _UNVERSIONED
        if not isinstance(entry, list) or len(entry) != 2 or type(entry[1]) is not int or entry[1] < 0:
            self.fail(f'"mxnet_version" is {entry!r:.60}; ["int", <number>] was expected')
        return int(entry[1])

    def _node(self, index: int, entry: Any, version: int) -> MxnetNode:
        if not isinstance(entry, dict):
            self.fail(f"node {index} is not an object")
        op, name, inputs = entry.get("op"), entry.get("name"), entry.get("inputs", [])
        if not isinstance(op, str) or not isinstance(name, str) or not isinstance(inputs, list):
            self.fail(f"node {index} lacks an op, a name or a list of inputs")
        where = f"{op} {name!r}"
        edges = [self._edge(edge, f"input {position} of {where}") for position, edge in enumerate(inputs)]
        node = MxnetNode(op, name, edges)
        written: dict[str, str] = {}
        for key in ("attrs", "attr"):
            written |= self._texts(entry.get(key), f"{key} of {where}")
        parameters = self._texts(entry.get("param"), f"param of {where}")
        for key, value in {**parameters, **written}.items():
            is_user = (
                op == "null" or _is_user_key(key) or (version < 900 and "param" in entry and key not in parameters)
            )
            (node.user_attrs if is_user else node.attrs)[key] = value
        if version < 905 and op in ("argmax", "argmin") and node.attrs.get("axis") == "-1":
            del node.attrs["axis"]
        return node

    def _texts(self, value: Any, what: str) -> dict[str, str]:
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            self.fail(f"{what} is not an object of strings")
        return value

    def _edge(self, entry: Any, what: str) -> tuple[int, int]:
        if (
            not isinstance(entry, list)
            or len(entry) not in (2, 3)
            or not all(type(number) is int and number >= 0 for number in entry)
        ):
            self.fail(f"{what} is {entry!r:.60}; [node, output] or [node, output, version] was expected")
        return entry[0], entry[1]

    def _check_edges(self, edges: list[tuple[int, int]], nodes: list[MxnetNode], what: str) -> None:
        for index, output in edges:
            if index >= len(nodes):
                self.fail(f"{what} refers to node {index}, but there are only {len(nodes)}: truncated or damaged")
            if output and nodes[index].op == "null":
                self.fail(f"{what} refers to output {output} of the variable {nodes[index].name!r}, which has one")

    def _append_missing_inputs(self, node: MxnetNode, nodes: list[MxnetNode]) -> None:
        """Before 0.9 auxiliary states were no inputs; MXNet makes a variable ``<node>_<input>`` for each."""
        if node.op not in AUX_INPUTS:
            return
        names = (*_LEADING_INPUTS[node.op], *AUX_INPUTS[node.op])
        for name in names[len(node.inputs) :]:
            full_name = f"{node.name}_{name}" if node.name else name
            node.inputs.append((len(nodes), 0))
            nodes.append(MxnetNode("null", full_name, [], {}, {**node.user_attrs}))

    def _ordered(self, nodes: list[MxnetNode], heads: list[tuple[int, int]], version: int) -> MxnetSymbol:
        """Drop what no head needs and sort by dependency, otherwise in file order."""
        needed: set[int] = set()
        waiting = [index for index, _ in heads]
        while waiting:
            index = waiting.pop()
            if index not in needed:
                needed.add(index)
                waiting.extend(source for source, _ in nodes[index].inputs)
        missing = {index: len({source for source, _ in nodes[index].inputs}) for index in needed}
        users: dict[int, list[int]] = {index: [] for index in needed}
        for index in needed:
            for source in {source for source, _ in nodes[index].inputs}:
                users[source].append(index)
        # a variable is ready at once, but belongs right before its first user if it was appended behind it
        place = {index: index for index in needed}
        for index in needed:
            if nodes[index].op == "null" and users[index]:
                place[index] = min(index, *users[index])
        ready = [(place[index], index) for index in needed if not missing[index]]
        heapq.heapify(ready)
        order: list[int] = []
        while ready:
            _, index = heapq.heappop(ready)
            order.append(index)
            for user in users[index]:
                missing[user] -= 1
                if not missing[user]:
                    heapq.heappush(ready, (place[user], user))
        if len(order) != len(needed):
            stuck = min(index for index in needed if missing[index])
            self.fail(f"{nodes[stuck].op} {nodes[stuck].name!r} needs its own output: the graph has a cycle")
        position = {index: new for new, index in enumerate(order)}
        for index in order:
            nodes[index].inputs = [(position[source], output) for source, output in nodes[index].inputs]
        return MxnetSymbol(
            [nodes[index] for index in order],
            [(position[index], output) for index, output in heads],
            version,
            self.path,
        )


def _is_user_key(key: str) -> bool:
    return (key.startswith("__") and key.endswith("__")) or any(
        key == word or key.endswith(f"_{word}") for word in _USER_KEYS
    )
