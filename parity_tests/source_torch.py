"""The source of a conversion as PyTorch computes it: the net written by hand, with the state's weights, in float64.

The graph that was converted came from the architecture's listing, without PyTorch. This runs the net instead, so that a
listing that says otherwise than the net does is found.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from facecvt.parity_tests.source import Layer, NumpyArray, SourceOracle, Walk
from facecvt.parity_tests.streamed import HandOut, streamed
from facecvt.reference_models.frameworks import require
from facecvt.reference_models.layers import INPUT
from facecvt.reference_models.layers import Layer as ListedLayer
from facecvt.reference_models.spec import ArchitectureSpec

if TYPE_CHECKING:
    from facecvt.converters.readers.from_torch import TorchProgram
    from facecvt.reference_models.state_source import StateModel

SHAPE_ONLY = ("PriorBox",)  # what depends on sizes alone


class StateOracle:
    """A state in the net of its architecture.

    Args:
        model: the state.
        dtype: numpy.float64, or numpy.float32.

    Raises:
        FrameworkMissingError: PyTorch is not installed.
    """

    def __init__(self, model: StateModel, dtype: Any = np.float64) -> None:
        require("torch", f"run {model.name}, the source of the conversion")
        import torch

        from facecvt.parity_tests.mapped_net_torch import net_on

        net = with_eps(model.architecture, model.names_of)
        self._dtype = np.dtype(dtype)
        self._net = net_on(net, model.arrays, getattr(torch, self._dtype.name))
        if self._dtype == np.float32:
            for module in self._net.modules():
                if isinstance(module, torch.nn.AdaptiveAvgPool2d) and module.output_size in (1, (1, 1)):
                    module.register_forward_hook(mean_in_order)
        listing = net.layers()
        fed = {name for layer in listing for name in layer.inputs}
        self.input_names = [model.architecture.contracts["torch"].name]
        self._returned = [layer.name for layer in listing if layer.name not in fed]
        self.output_names = list(model.cut or self._returned)
        taps = net.names("torch").taps(listing)
        self._modules = {path: name for name, path in taps.items()}
        needed = leading_to(self.output_names, listing)
        self._order = [each for each in needed if each in taps or each in self._returned]
        self.layers = tapped_layers(net, self._order)

    def walk(self, feeds: Mapping[str, NumpyArray]) -> Walk:
        """See :class:`facecvt.parity_tests.source.Oracle`."""
        computed = self._computed(feeds)
        returns: dict[str, NumpyArray] | None = None
        held: dict[str, NumpyArray] = {}
        outputs = {}
        missing = set(self._order)
        for name in self._order:
            while returns is None and (name not in held or name in self._returned):
                try:
                    found, array = next(computed)
                except StopIteration as end:
                    returns = end.value
                    continue
                if found in self._order and found not in missing:
                    raise RuntimeError(f"{found} is computed a second time")
                if found in missing:
                    held[found] = array
                del array
            missing.remove(name)
            value = held.pop(name, None)
            if returns is not None and name in returns:
                value = returns[name]
            assert value is not None  # every layer in the order is a module's, or returned
            if name in self.output_names:
                outputs[name] = value
            yield name, value
            del value
        return outputs

    def _computed(self, feeds: Mapping[str, NumpyArray]) -> Generator[tuple[str, NumpyArray], None, Any]:
        """What the net's modules give, as they give it; returns what the net returns, by name."""
        import torch

        fed = torch.from_numpy(np.asarray(feeds[self.input_names[0]], self._dtype).copy())

        def compute(hand_out: HandOut) -> dict[str, NumpyArray]:
            hooks = []
            for path, name in self._modules.items():

                def keep(module: Any, arguments: Any, output: Any, name: str = name) -> None:
                    hand_out(name, output.detach().numpy().copy())

                hooks.append(self._net.get_submodule(path).register_forward_hook(keep))
            try:
                with torch.inference_mode():
                    returned = self._net(fed)
            finally:
                for hook in hooks:
                    hook.remove()
            values = returned if isinstance(returned, (tuple, list)) else (returned,)
            return {name: each.numpy().copy() for name, each in zip(self._returned, flat(values), strict=True)}

        return streamed(compute)


class ProgramOracle:
    """A program that PyTorch exported: inner values as the oracle computes its graph, outputs as PyTorch does itself.

    Args:
        program: what was read.
        dtype: numpy.float64, or numpy.float32.
    """

    def __init__(self, program: TorchProgram, dtype: Any = np.float64) -> None:
        import copy

        import torch

        from facecvt.parity_tests.oracle.onnx_model import OnnxOracle

        self._graph = SourceOracle(OnnxOracle(program.proto, dtype))
        self._dtype = np.dtype(dtype)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about gradients, which nobody wants here
            self._module = copy.deepcopy(program.module).to(getattr(torch, self._dtype.name))
        self._single, self._cut, self._fed = program.module, program.cut, program.inputs
        self.input_names, self.output_names = self._graph.input_names, self._graph.output_names
        self.layers = self._graph.layers

    def walk(self, feeds: Mapping[str, NumpyArray]) -> Walk:
        """See :class:`facecvt.parity_tests.source.Oracle`."""
        outputs = yield from self._graph.walk(feeds)
        if self._cut:
            return outputs | self._inside(feeds)
        try:
            returned = self._returned(self._module, feeds, self._dtype)
        except RuntimeError:  # constants of another precision in its code
            returned = self._returned(self._single, feeds, np.dtype(np.float32))
            computed = [outputs[name] for name in self.output_names]
            if all(
                np.allclose(ours, theirs, rtol=1e-3, atol=1e-4) for ours, theirs in zip(computed, returned, strict=True)
            ):
                return outputs
        return dict(zip(self.output_names, returned, strict=True))

    def _inside(self, feeds: Mapping[str, NumpyArray]) -> dict[str, NumpyArray]:
        """What modules give at the cut, where the program has them as modules and nothing that it is fed is cut off."""
        import torch

        taken: dict[str, NumpyArray] = {}
        modules = dict(self._module.named_modules())
        names = [name for name in self._cut if name in modules]
        if isinstance(self._module, torch.jit.ScriptModule) or not names or list(self._fed) != self.input_names:
            return {}
        hooks = []
        for name in names:

            def keep(module: Any, arguments: Any, output: Any, name: str = name) -> None:
                if isinstance(output, torch.Tensor):
                    taken[name] = output.detach().numpy().copy()

            hooks.append(modules[name].register_forward_hook(keep))
        try:
            self._returned(self._module, feeds, self._dtype)
        except RuntimeError:  # constants of another precision in its code
            return {}
        finally:
            for hook in hooks:
                hook.remove()
        return taken

    def _returned(self, module: Any, feeds: Mapping[str, NumpyArray], dtype: np.dtype[Any]) -> list[NumpyArray]:
        import torch

        fed = [torch.from_numpy(np.asarray(feeds[name], dtype).copy()) for name in self.input_names]
        with torch.inference_mode():
            returned = module(*fed)
        if isinstance(returned, Mapping):
            returned = list(returned.values())
        values = returned if isinstance(returned, (tuple, list)) else (returned,)
        return [each.numpy().copy() for each in flat(values)]


def leading_to(names: list[str], listing: Sequence[ListedLayer]) -> list[str]:
    """The layers that some are computed from, those among them, in the listing's order."""
    needed = set(names)
    for layer in reversed(listing):
        if layer.name in needed:
            needed.update(layer.inputs)
    return [layer.name for layer in listing if layer.name in needed]


def mean_in_order(module: Any, arguments: Any, output: Any) -> Any:
    """The mean of a map, its numbers added one after the other in float32.

    PyTorch adds them up in pairs and loses next to nothing. Paddle and MXNet go through the map in order, where one of
    56 x 56 costs ten times as much: a floor has to hold for whoever adds in float32.
    """
    import torch

    rows = arguments[0].detach().numpy().reshape(*output.shape[:2], -1)
    sums = np.add.accumulate(rows, axis=-1, dtype=np.float32)[..., -1]
    return torch.from_numpy(sums / np.float32(rows.shape[-1])).reshape(output.shape)


def flat(values: Any) -> list[Any]:
    """Tensors of nested tuples and lists, in order."""
    found: list[Any] = []
    for value in values:
        found += flat(value) if isinstance(value, (tuple, list)) else [value]
    return found


def with_eps(net: ArchitectureSpec, framework: str) -> ArchitectureSpec:
    """The architecture with the eps of a framework's upstream where it has none of its own."""
    if framework == "torch" or net.options.get("eps") is not None or "eps" not in net.options:
        return net
    return net.with_options(eps=net.eps[framework])


def tapped_layers(net: ArchitectureSpec, names: list[str]) -> list[Layer]:
    """What the layers with these names are; what lies between them is looked through."""
    shown = set(names)
    behind: dict[str, tuple[tuple[str, ...], int, bool]] = {INPUT: ((), 0, False)}  # operands, depth, owned weights
    found = []
    for layer in net.layers():
        computed = layer.op not in SHAPE_ONLY
        before = [behind[name] for name in layer.inputs]
        depth = 1 + max((entry[1] for entry in before), default=0)
        owned = bool(layer.parameters) or any(entry[2] for entry in before)
        operands = tuple(dict.fromkeys(name for entry in before for name in entry[0]))
        if layer.name in shown:
            deep = depth if computed else 0
            found.append(Layer(layer.name, layer.op, layer.name, computed, computed and owned, deep, operands))
            behind[layer.name] = ((layer.name,) if computed else (), depth, False)
        else:
            behind[layer.name] = (operands, depth, owned)
    return found
