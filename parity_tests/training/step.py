"""Training steps of a reference network under a margin head, in three frameworks from the same weights.

    weights + images + labels  ->  loss, gradients, BatchNorm statistics and updated weights, by canonical name

Everything that the frameworks count differently is mapped exactly, so that what is left is rounding:

    BatchNorm momentum     torch's m is 1 - m in Paddle and MXNet; the nets are built so
    running variance       torch adds the unbiased variance, n / (n - 1) times the biased one that Paddle and MXNet add,
                           with n = batch x height x width; after k steps from v0 the torch value v becomes
                           (v - (1 - m)^k v0) (n - 1) / n + (1 - m)^k v0
    when statistics move   torch and Paddle: in the forward pass; MXNet: in the backward pass, asynchronously
    scale 1 by definition  no gradient in torch and Paddle; under MXNet's fix_gamma a stored number that nobody reads.
                           It is left out here
    the mean of the loss   MXNet's SoftmaxOutput(normalization="valid") divides its gradient by the batch; the
                           optimizer must not do so again (rescale_grad 1)
    SGD                    v = mu v + g + wd w, w = w - lr v; MXNet keeps -lr v, the same while lr stays
    weight decay           torch and Paddle decay every parameter, MXNet spares names that end in neither _weight nor
                           _gamma, that is biases and shifts. `Recipe.decayed` says which, for all three
    gradient of slopes     MXNet 1.9.1 writes a PReLU's input gradient before the slopes', which is computed from what
                           lay there: where its memory plan lets both share memory, the slopes' gradient comes out
                           multiplied by the slope. `with_true_slopes` takes that factor out again and says where
    float32 attributes     Paddle and MXNet keep eps, momentum, rates and decay in float32 even where the tensors are
                           float64; torch is given the same rounded numbers

The rest of this module needs no framework; the steps are in step_torch.py, step_paddle.py and step_mxnet.py.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from facecvt.parity_tests.metrics import compare
from facecvt.reference_models.heads.names import AVERAGES, COLUMNS, State, head_from_canonical, head_to_canonical
from facecvt.reference_models.heads.spec import HeadSpec
from facecvt.reference_models.layers import STATISTICS
from facecvt.reference_models.seeded import generator, seeded_arrays
from facecvt.reference_models.spec import ArchitectureSpec, known_framework
from facecvt.reference_models.weights import state_entries, to_canonical

NumpyArray = np.ndarray[Any, np.dtype[Any]]

EVERY_ROLE = frozenset({"weight", "bias", "scale", "shift", "slope", "centres"})
MXNET_ROLES = frozenset({"weight", "scale", "slope", "centres"})


@dataclass(frozen=True)
class Recipe:
    """Stochastic gradient descent with momentum and weight decay.

    Attributes:
        learning_rate: lr.
        momentum: mu.
        weight_decay: wd.
        decayed: roles of the parameters that weight decay acts on: EVERY_ROLE as torch and Paddle do by themselves,
            MXNET_ROLES as MXNet does.
        steps: how many steps are taken on the same batch.
    """

    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    decayed: frozenset[str] = EVERY_ROLE
    steps: int = 1

    def rounded(self) -> tuple[float, float, float]:
        """lr, mu and wd as a float32 holds them."""
        return in_float32(self.learning_rate), in_float32(self.momentum), in_float32(self.weight_decay)


@dataclass(frozen=True)
class Batch:
    """What a step is fed: images (N, 3, H, W), scaled as the torch net takes them, and labels (N,)."""

    images: NumpyArray
    labels: NumpyArray


@dataclass(frozen=True)
class Task:
    """A training run, the same for every framework.

    Attributes:
        architecture: with its options; dropout must be 0, since no two frameworks drop the same numbers.
        head: with its options.
        classes: number of classes.
        batch: what every step is fed.
        recipe: the optimizer.
        seed: of the weights.
        arrays: the network's weights by canonical name, None for seeded ones.
    """

    architecture: ArchitectureSpec
    head: HeadSpec
    classes: int
    batch: Batch
    recipe: Recipe = field(default_factory=Recipe)
    seed: int = 0
    arrays: State | None = None

    def weights(self) -> State:
        """The network's arrays by canonical name."""
        return seeded_arrays(self.architecture, self.seed) if self.arrays is None else self.arrays

    def head_weights(self) -> State:
        """The head's arrays by canonical name."""
        shape = (self.classes, self.architecture.embedding_size)
        arrays: State = {"weight": generator("head.weight", self.seed).standard_normal(shape, dtype=np.float32)}
        if self.head.kind == "adaface":
            arrays |= {name: np.array([start], np.float32) for name, start in (("batch_mean", 20), ("batch_std", 100))}
        return arrays


@dataclass(frozen=True)
class Trained:
    """What came of the steps, by canonical name and in canonical layout; the head's names begin with "head.".

    Attributes:
        loss: of every step, before its update.
        gradients: of the last step.
        statistics: BatchNorm's running ones in the biased convention, and AdaFace's moving averages.
        weights: after the last update.
    """

    loss: NumpyArray
    gradients: dict[str, NumpyArray]
    statistics: dict[str, NumpyArray]
    weights: dict[str, NumpyArray]

    def values(self) -> dict[str, NumpyArray]:
        """Everything under one roof: "gradients conv1.weight" and so on."""
        named: dict[str, NumpyArray] = {"loss": self.loss}
        for kind in ("gradients", "statistics", "weights"):
            named |= {f"{kind} {name}": value for name, value in getattr(self, kind).items()}
        return named


@dataclass(frozen=True)
class Parameter:
    """A trainable parameter of the network in one framework."""

    canonical: str
    name: str
    role: str
    transposed: bool

    def canonical_layout(self, array: NumpyArray) -> NumpyArray:
        """The array as the canonical one lies."""
        return array.T if self.transposed else array


def in_float32(value: float) -> float:
    """The number that a float32 holds."""
    return float(np.float32(value))


def trainable(architecture: ArchitectureSpec, framework: str) -> list[Parameter]:
    """The parameters that a gradient reaches: neither statistics nor scales that are 1 by definition."""
    found = []
    for entry in state_entries(architecture, framework):
        parameter = entry.parameter
        if parameter is None or parameter.role in STATISTICS:
            continue
        if entry.layer.attributes.get("unit_scale") and parameter.role == "scale":
            continue
        found.append(Parameter(parameter.name, entry.name, parameter.role, entry.transposed))
    return found


def batch_of_faces(size: int = 112, rows: int = 4, classes: int = 10, seed: int = 0) -> Batch:
    """Smooth random images of whole pixel values p as (p - 127.5) / 128, which float32 holds exactly, and labels."""
    random = np.random.Generator(np.random.PCG64(seed))
    coarse = random.uniform(0, 255, (rows, 3, size // 8, size // 8))
    pixels = np.kron(coarse, np.ones((8, 8))) + random.normal(0, 12, (rows, 3, size, size))
    images = (np.clip(np.rint(pixels), 0, 255) - 127.5) / 128
    return Batch(images.astype(np.float32), random.permutation(classes)[:rows].astype(np.int64))


def train(task: Task, framework: str, dtype: str = "float64") -> Trained:
    """Take the task's steps in one framework.

    Args:
        task: weights, data and optimizer.
        framework: torch, paddle or mxnet; it must be installed.
        dtype: "float32" or "float64", of every tensor.
    """
    module = importlib.import_module(f"facecvt.parity_tests.training.step_{known_framework(framework)}")
    trained: Trained = module.train(task, dtype)
    return trained


def run_head(
    head: HeadSpec, framework: str, arrays: State, features: NumpyArray, labels: NumpyArray, dtype: str = "float64"
) -> dict[str, NumpyArray]:
    """One pass of a margin head alone, forward and backward.

    Args:
        head: with its options.
        framework: torch, paddle or mxnet; it must be installed.
        arrays: its state by canonical name.
        features: (N, D).
        labels: (N,), -1 for a row without class.
        dtype: "float32" or "float64", of every tensor.

    Returns:
        "logits", "loss", "d_features", "d_centres" (C, D), and the state afterwards by canonical name.
    """
    module = importlib.import_module(f"facecvt.parity_tests.training.step_{known_framework(framework)}")
    state = head_from_canonical(arrays, head, framework)
    result, after = module.run_head(head, state, features, labels, dtype)
    if head.layout(framework) == COLUMNS:
        result["d_centres"] = result["d_centres"].T
    values: dict[str, NumpyArray] = {name: np.asarray(value) for name, value in result.items()}
    return values | head_to_canonical(after, head, framework)


def head_sizes(head: HeadSpec, framework: str, state: State) -> tuple[int, int]:
    """Length of a feature and number of classes, from the shape of the class centres."""
    shape = state[head.centres_name(framework)].shape
    return (shape[0], shape[1]) if head.layout(framework) == COLUMNS else (shape[1], shape[0])


def differences(reference: Trained, other: Trained) -> dict[str, float]:
    """Name -> how far the other is from the reference: rms of the difference over the rms that counts.

    That is the rms of the reference's own array, but for gradients no less than 1e-3 of the median over all gradients:
    the bias in front of a BatchNorm has none but rounding.

    Raises:
        ValueError: the two do not hold the same names.
    """
    mine, theirs = reference.values(), other.values()
    if mine.keys() != theirs.keys():
        raise ValueError(f"only in one of both: {sorted(mine.keys() ^ theirs.keys())[:6]}")
    sizes = [float(np.sqrt(np.mean(np.square(g, dtype=np.float64)))) for g in reference.gradients.values()]
    least = 1e-3 * float(np.median(sizes))
    found = {}
    for name, expected in mine.items():
        metrics = compare(expected, theirs[name])
        scale = max(metrics.scale, least) if name.startswith("gradients ") else metrics.scale
        found[name] = metrics.rel_rmse * metrics.scale / scale if metrics.scale else metrics.rel_rmse
    return found


def with_true_slopes(task: Task, trained: Trained, reference: Trained) -> tuple[Trained, list[str]]:
    """What MXNet would have given with the slopes' gradients that it overwrote, and the names of these slopes.

    Which ones they are depends on MXNet's memory plan, in float64 all. Whether a gradient has the factor is seen at the
    reference: seeded slopes lie between 0.15 and 0.35, far from 1. The first step's updates are corrected with them.
    """
    if task.recipe.steps != 1:
        raise ValueError("slopes can be corrected after one step only: the next one starts from the wrong ones")
    rate = task.recipe.rounded()[0]
    gradients, weights, found = dict(trained.gradients), dict(trained.weights), []
    for name, start in task.weights().items():
        if name not in gradients or not name.endswith(".slope"):
            continue
        given = gradients[name]
        true = given / start.astype(given.dtype)
        if compare(reference.gradients[name], true).rel_rmse < compare(reference.gradients[name], given).rel_rmse:
            gradients[name], weights[name] = true, weights[name] - in_float32(rate) * (true - given)
            found.append(name)
    return replace(trained, gradients=gradients, weights=weights), found


def collect(
    task: Task, framework: str, losses: list[float], gradients: Mapping[str, NumpyArray],
    state: Mapping[str, NumpyArray], head_state: Mapping[str, NumpyArray],
) -> Trained:  # fmt: skip
    """The outcome by canonical name.

    Args:
        task: what was run.
        framework: where.
        losses: of every step.
        gradients: by the framework's names and in its layouts, the class centres' among them.
        state: the network's afterwards, likewise.
        head_state: the head's afterwards, likewise.
    """
    arch, head = task.architecture, task.head
    parameters = trainable(arch, framework)
    arrays, head_arrays = to_canonical(state, framework, arch), head_to_canonical(head_state, head, framework)
    centres = gradients[head.centres_name(framework)]
    by_role = {parameter.name: parameter.role for layer in arch.layers() for parameter in layer.parameters}
    return Trained(
        loss=np.array(losses),
        gradients={p.canonical: p.canonical_layout(gradients[p.name]) for p in parameters}
        | {"head.weight": centres.T if head.layout(framework) == COLUMNS else centres},
        statistics={name: array for name, array in arrays.items() if by_role[name] in STATISTICS}
        | {f"head.{name}": array for name, array in head_arrays.items() if name in AVERAGES},
        weights={p.canonical: arrays[p.canonical] for p in parameters} | {"head.weight": head_arrays["weight"]},
    )
