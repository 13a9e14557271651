"""Which value of one model is which value of another, from the weights that made them.

Layers that own the same weights are the same layer (:mod:`facecvt.parity_tests.diff.fingerprints`): the anchors.
Between anchors the data flow decides: a layer whose operands are aligned, and which is the only one of its kind to read
them on both sides, is aligned; so are the operands of two aligned layers. Names and positions in a list decide nothing.
What stays ambiguous is unmapped. Without a single anchor nothing is aligned at all: two nets of one architecture with
other weights are two models.

Two things are looked through. Where one side has a BatchNormalization, or a bias in an operator of its own, and the
other has folded it into the weights, the folded layer is the *last* of those steps; the values before it exist on one
side only. And anchors that contradict each other (a before b here, b before a there) own each other's weights: they are
exchanged where their shapes allow it, and the pair says so; where they do not, neither counts.

Where nothing else is left, a step that B leaves out is stepped over: what reads it is what reads its operand in B, if
there is one such layer only, of the same kind and sizes, and B holds no other layer that could be the step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from facecvt.converters.graph import Graph, NumpyArray, dims, name_of
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.parity_tests.diff.fingerprints import bits_fingerprint, directions, nearest_partners, only_partners
from facecvt.parity_tests.diff.network import COMMUTATIVE, Network

WEIGHTS, NEAR_WEIGHTS, EXCHANGED, DATA_FLOW, INPUT = (
    "weights",
    "weights, nearly",
    "weights of another layer",
    "data flow",
    "input",
)


@dataclass(frozen=True)
class Match:
    """Two values that are one.

    Attributes:
        a, b: names of the values in the canonical graphs.
        how: what tells it: the constants above.
    """

    a: str
    b: str
    how: str


@dataclass(frozen=True)
class Provenance:
    """What is what.

    Attributes:
        matches: aligned values, in A's order of computation; inputs are not among them.
        inputs: aligned inputs.
        unmapped_a: values of A without a partner -> why.
        unmapped_b: values of B without a partner -> why.
        absorbed: value of A that B has folded away -> the value of A that contains it.
        anchors: how many layers were aligned by their weights.
        anchorable: how many layers of A have weights that could be told.
    """

    matches: tuple[Match, ...]
    inputs: tuple[Match, ...]
    unmapped_a: dict[str, str]
    unmapped_b: dict[str, str]
    absorbed: dict[str, str]
    anchors: int
    anchorable: int

    @property
    def taps(self) -> dict[str, str]:
        """Value of A -> value of B."""
        return {match.a: match.b for match in self.matches}


def trace(a: Graph, b: Graph) -> Provenance:
    """Align two canonical graphs; see the module's docstring."""
    tracer = _Tracer(Network(a), Network(b))
    tracer.run()
    return tracer.result()


@dataclass
class _Tracer:
    """The state of one alignment: values by name, nodes by their place."""

    a: Network
    b: Network
    values: dict[str, tuple[str, str]] = field(default_factory=dict)  # A's name -> B's name, how
    taken: set[str] = field(default_factory=set)  # B's names
    nodes: dict[int, int] = field(default_factory=dict)  # place in A -> place in B
    taken_nodes: set[int] = field(default_factory=set)
    absorbed: dict[str, str] = field(default_factory=dict)
    folded_b: dict[str, str] = field(default_factory=dict)
    anchors: int = 0
    anchorable: int = 0
    changed: bool = True

    def run(self) -> None:
        for ours, theirs in paired_inputs(self.a.graph, self.b.graph):
            self.values[ours] = (theirs, INPUT)
            self.taken.add(theirs)
        pairs = self._anchors()
        self.anchors = len(pairs)
        if not pairs:
            return
        for (x, y), how in pairs.items():
            self._anchor(x, y, how)
        while self.changed:  # what is only of one kind is told from what is left when nothing else can be
            self.changed = False
            self._forward(by_operator=True)
            self._backward()
            if not self.changed:
                self._forward(by_operator=False)
            if not self.changed:
                self._over_steps()
        for x, node in enumerate(self.a.nodes):
            product = self.a.product_of(node)
            if x not in self.nodes and product is not None and name_of(product) in self.values:
                self.absorbed[name_of(node.outputs[0])] = name_of(product)
        for node in self.b.nodes:
            product = self.b.product_of(node)
            if product is not None and name_of(product) in self.taken and name_of(node.outputs[0]) not in self.taken:
                self.folded_b[name_of(node.outputs[0])] = name_of(product)

    def _anchors(self) -> dict[tuple[int, int], str]:
        """Places of layers that own the same weights -> how that was told."""
        kernels = [
            {p: k for p, node in enumerate(side.nodes) if (k := side.kernel(node)) is not None}
            for side in (self.a, self.b)
        ]
        exact = [
            {p: marked(net, net.nodes[p], k) for p, k in side.items()}
            for net, side in zip((self.a, self.b), kernels, strict=True)
        ]
        self.anchorable = sum(mark is not None for mark in exact[0].values())
        found = dict.fromkeys(only_partners(exact[0], exact[1]), WEIGHTS)
        done = {x for x, _ in found}, {y for _, y in found}
        samples = [
            {p: s for p, k in side.items() if p not in done[n] and (s := directions(k)) is not None}
            for n, side in enumerate(kernels)
        ]
        found.update(dict.fromkeys(nearest_partners(samples[0], samples[1]), NEAR_WEIGHTS))
        shapes = [{p: k.shape for p, k in side.items()} for side in kernels]
        return self._without_contradictions(found, shapes)

    def _without_contradictions(
        self, pairs: dict[tuple[int, int], str], shapes: list[dict[int, tuple[int, ...]]]
    ) -> dict[tuple[int, int], str]:
        before_a, before_b = self.a.ancestors(), self.b.ancestors()

        def contradictions(x: int, y: int, found: dict[tuple[int, int], str]) -> list[tuple[int, int]]:
            return [
                (v, w)
                for v, w in found
                if (before_a[v] >> x & 1 and before_b[y] >> w & 1) or (before_a[x] >> v & 1 and before_b[w] >> y & 1)
            ]

        pairs = dict(pairs)
        while True:
            against = {pair: contradictions(*pair, pairs) for pair in pairs}
            against = {pair: others for pair, others in against.items() if others}
            if not against:
                return pairs
            x, y = max(against, key=lambda pair: (len(against[pair]), -pair[0]))
            swap = max(
                ((v, w) for v, w in against[x, y] if shapes[0][v] == shapes[0][x] and shapes[1][w] == shapes[1][y]),
                key=lambda pair: len(against[pair]),
                default=None,
            )
            del pairs[x, y]
            if swap is None or EXCHANGED in (pairs[swap],):
                continue
            v, w = swap
            del pairs[swap]
            pairs[x, w] = pairs[v, y] = EXCHANGED

    def _anchor(self, x: int, y: int, how: str) -> None:
        """Align two layers with the same weights, the one perhaps with steps behind it that the other has folded in."""
        ours, theirs = self.a.nodes[x], self.b.nodes[y]
        tails = self.a.tail(ours), self.b.tail(theirs)
        folds = len(tails[0]) != len(tails[1]) and (
            how == NEAR_WEIGHTS or self.a.has_bias(ours) != self.b.has_bias(theirs)
        )
        self._pair_nodes(x, y)
        if not folds:
            self._pair(ours.outputs[0], theirs.outputs[0], how)
            return
        ends = []
        for tail, node, contained in ((tails[0], ours, self.absorbed), (tails[1], theirs, self.folded_b)):
            chain = [node, *tail]
            end = chain[-1].outputs[0]
            contained.update({name_of(step.outputs[0]): name_of(end) for step in chain[:-1]})
            ends.append(end)
        self._pair(ends[0], ends[1], how)
        self.taken_nodes.update(self.b.position[id(step)] for step in tails[1])
        self.nodes.update({self.a.position[id(step)]: -1 for step in tails[0]})

    def _forward(self, *, by_operator: bool) -> None:
        for x, node in enumerate(self.a.nodes):
            if x in self.nodes:
                continue
            fed = self.a.data_inputs(node)
            if not all(name_of(value) in self.values for value in fed):
                continue
            images = [self.values[name_of(value)][0] for value in fed]
            ours = [v for v in self._siblings(self.a, fed, node) if self.a.position[id(v)] not in self.nodes]
            by_name = self.b.graph
            theirs = [w for w in self._images(by_name, images, node) if self.b.position[id(w)] not in self.taken_nodes]
            if by_operator:
                ours = [v for v in ours if v.op_type == node.op_type]
                theirs = [w for w in theirs if w.op_type == node.op_type]
            partner = self._only(node, ours, theirs)
            if partner is not None:
                self._pair_whole(x, self.b.position[id(partner)], DATA_FLOW)

    def _over_steps(self) -> None:
        """Align what reads a step that B leaves out with what reads, in B, that step's operand."""
        left = {self.b.kind(node) for node in self.b.nodes if self.b.position[id(node)] not in self.taken_nodes}
        for x, node in enumerate(self.a.nodes):
            fed = self.a.data_inputs(node)
            step = fed[0].producer() if len(fed) == 1 else None
            if x in self.nodes or step is None or self.a.position[id(step)] in self.nodes or self.a.kind(step) in left:
                continue
            before = self.a.data_inputs(step)
            if len(before) != 1 or name_of(before[0]) not in self.values or len(self._siblings(self.a, fed, node)) > 1:
                continue
            theirs = self._images(self.b.graph, [self.values[name_of(before[0])][0]], node)
            theirs = [w for w in theirs if self.b.position[id(w)] not in self.taken_nodes]
            if len(theirs) == 1 and self._may_be(node, theirs[0]) and same_sizes(node, theirs[0]):
                self._pair_whole(x, self.b.position[id(theirs[0])], DATA_FLOW)

    def _siblings(self, side: Network, fed: list[ir.Value], like: ir.Node) -> list[ir.Node]:
        """Nodes of one kind that read the same values."""
        wanted = [name_of(value) for value in fed]
        return [
            node
            for node in side.readers(fed[0])
            if side.kind(node) == side.kind(like)
            and same_operands(node, [name_of(v) for v in side.data_inputs(node)], wanted)
        ]

    def _images(self, graph: Graph, names: list[str], like: ir.Node) -> list[ir.Node]:
        first = self._value_of_b(names[0])
        return [
            node
            for node in self.b.readers(first)
            if self.b.kind(node) == self.a.kind(like)
            and same_operands(node, [name_of(v) for v in self.b.data_inputs(node)], names)
        ]

    def _only(self, node: ir.Node, ours: list[ir.Node], theirs: list[ir.Node]) -> ir.Node | None:
        """The one partner of a node among candidates; by signature where there are several."""
        if len(ours) == 1 and len(theirs) == 1:
            return theirs[0] if self._may_be(node, theirs[0]) else None
        mark = self.a.signature(node)
        ours = [v for v in ours if self.a.signature(v) == mark]
        theirs = [w for w in theirs if self.b.signature(w) == mark]
        if len(ours) == 1 and len(theirs) == 1 and self._may_be(node, theirs[0]):
            return theirs[0]
        return None

    def _may_be(self, ours: ir.Node, theirs: ir.Node) -> bool:
        """Whether two layers of one kind could be one: their kernels have one shape."""
        kernels = self.a.kernel(ours), self.b.kernel(theirs)
        if kernels[0] is not None and kernels[1] is not None:
            return kernels[0].shape[0] == kernels[1].shape[0] and kernels[0].size == kernels[1].size
        return True

    def _backward(self) -> None:
        for x, y in list(self.nodes.items()):
            if y < 0:
                continue
            ours, theirs = self.a.data_inputs(self.a.nodes[x]), self.b.data_inputs(self.b.nodes[y])
            if len(ours) != len(theirs):
                continue
            if self.a.nodes[x].op_type in COMMUTATIVE:
                free = (
                    [v for v in ours if name_of(v) not in self.values],
                    [w for w in theirs if name_of(w) not in self.taken],
                )
                if len(free[0]) != 1 or len(free[1]) != 1:
                    continue
                ours, theirs = free
            for value, its in zip(ours, theirs, strict=True):
                self._operands(value, its)

    def _operands(self, value: ir.Value, its: ir.Value) -> None:
        if name_of(value) in self.values or name_of(its) in self.taken:
            return
        if name_of(value) in self.absorbed or name_of(its) in self.folded_b:
            return
        ours, theirs = value.producer(), its.producer()
        if ours is None or theirs is None or value.index() != its.index():
            return
        x, y = self.a.position[id(ours)], self.b.position[id(theirs)]
        if (
            x in self.nodes
            or y in self.taken_nodes
            or self.a.kind(ours) != self.b.kind(theirs)
            or not self._may_be(ours, theirs)
        ):
            return
        self._pair_whole(x, y, DATA_FLOW)

    def _pair_whole(self, x: int, y: int, how: str) -> None:
        """Align two nodes with all their outputs, or with the end of what the other has folded in."""
        ours, theirs = self.a.nodes[x], self.b.nodes[y]
        if len(ours.outputs) != len(theirs.outputs):
            return
        self._pair_nodes(x, y)
        for value, its in zip(ours.outputs, theirs.outputs, strict=True):
            self._pair(value, its, how)

    def _pair_nodes(self, x: int, y: int) -> None:
        self.nodes[x] = y
        self.taken_nodes.add(y)
        self.changed = True

    def _pair(self, value: ir.Value, its: ir.Value, how: str) -> None:
        ours, theirs = name_of(value), name_of(its)
        if ours not in self.values and theirs not in self.taken:
            self.values[ours] = (theirs, how)
            self.taken.add(theirs)

    def _value_of_b(self, name: str) -> ir.Value:
        if not hasattr(self, "_by_name"):
            graph = self.b.graph
            values = [*graph.inputs, *(value for node in graph.body for value in node.outputs)]
            self._by_name = {name_of(value): value for value in values}
        return self._by_name[name]

    def result(self) -> Provenance:
        matches, missing = [], {}
        for name in computed(self.a):
            if name in self.values:
                matches.append(Match(name, *self.values[name]))
            elif name not in self.absorbed:
                missing[name] = self._reason(name)
        extra = {
            name: "no value of A was found to be this one"
            for name in computed(self.b)
            if name not in self.taken and name not in self.folded_b
        }
        inputs = tuple(Match(ours, *pair) for ours, pair in self.values.items() if pair[1] == INPUT)
        return Provenance(tuple(matches), inputs, missing, extra, dict(self.absorbed), self.anchors, self.anchorable)

    def _reason(self, name: str) -> str:
        if not self.anchors:
            return "no layer of B has the weights of a layer of A"
        return "neither weights nor data flow say which value of B it is"


def marked(side: Network, node: ir.Node, kernel: NumpyArray) -> tuple[int, int] | None:
    """A kernel's fingerprint; what was read of the file for it is given back."""
    mark = bits_fingerprint(kernel)
    side.forget_weights(node)
    return mark


def computed(side: Network) -> Iterator[str]:
    """Names of all data that a side computes, in order."""
    return (name_of(value) for node in side.nodes for value in node.outputs if value.name)


def same_operands(node: ir.Node, names: list[str], wanted: list[str]) -> bool:
    """Whether a node reads these values, in this order where the order matters."""
    return sorted(names) == sorted(wanted) if node.op_type in COMMUTATIVE else names == wanted


def same_sizes(ours: ir.Node, theirs: ir.Node) -> bool:
    """Whether what two nodes compute has one rank, and no size that is known is another."""
    one, other = dims(ours.outputs[0]), dims(theirs.outputs[0])
    if one is None or other is None or len(one) != len(other):
        return False
    return all(size in (None, its) or its is None for size, its in zip(one, other, strict=True))


def paired_inputs(a: Graph, b: Graph) -> list[tuple[str, str]]:
    """Inputs by name where both sides have the same names, else by position; none where their numbers differ."""
    ours, theirs = [name_of(value) for value in a.inputs], [name_of(value) for value in b.inputs]
    if set(ours) == set(theirs):
        return [(name, name) for name in ours]
    return list(zip(ours, theirs, strict=True)) if len(ours) == len(theirs) else []
