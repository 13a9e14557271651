"""What people call the variants of fresnet.

fresnet_r50_unit1_se, fresnet2018_r152_unit2_outD     file and layers, then options in any order:
    se, unit1 .. unit3, input0 .. input2, out_GNAP (or outGNAP, GNAP), act_relu, emb256, size224
LResNet50E-IR, SE-LResNet34C-IR                       the paper's: L input 1 (without it 0), E output, IR unit 3
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from facecvt.reference_models.fresnet.variants import ALSO, BOTTLENECK_FROM, UNITS, architecture_name, is_plain
from facecvt.reference_models.iresnet.spec import UNITS as IRESNET_UNITS
from facecvt.reference_models.mxnet_outputs import ACTIVATIONS, OUTPUTS, OUTPUTS_OF_2018
from facecvt.reference_models.spec import Alias

KINDS = "|".join(sorted((name.lower() for name in (*OUTPUTS, *OUTPUTS_OF_2018)), key=len, reverse=True))
OPTION = re.compile(
    rf"_(?:se(?P<se>[01])?|unit(?P<unit>[123])|input(?P<input>[012])|act_?(?P<activation>{'|'.join(ACTIVATIONS)})"
    rf"|emb_?(?P<embedding_size>[1-9]\d*)|size_?(?P<input_size>112|224)|(?:out_?)?(?P<output>{KINDS})(?P<length>\d+)?)"
    r"(?=_|$)"
)
KIT = re.compile(r"fresnet(?P<year>2018)?_r(?P<depth>\d+)(?P<options>(?:_.+)?)")
PAPER = re.compile(rf"(?P<se>se-)?(?P<large>l)?resnet(?P<depth>\d+)(?P<output>{KINDS})-ir")
# the kit's name of an entry that does not say its output
UNSAID: Mapping[str, Mapping[str, Any]] = {"fresnet2018_r152_se": {"output": "D"}}


def named(name: str) -> tuple[str, Alias] | None:
    """The architecture and its options that a lower-case name stands for, None where it is none of these."""
    match = KIT.fullmatch(name)
    if match is not None:
        options = spelled(match["options"])
        if options is None:
            return None
        options |= UNSAID.get(name, {})
        return alias(name, int(match["depth"]), options, of_2018=match["year"] is not None)
    match = PAPER.fullmatch(name)
    if match is not None:
        options = {
            "se": match["se"] is not None,
            "input": 1 if match["large"] else 0,
            "output": match["output"].upper(),
        }
        return alias(name, int(match["depth"]), options, of_2018=options["output"] in OUTPUTS_OF_2018)
    return None


def spelled(text: str) -> dict[str, Any] | None:
    """The options of a kit name, None where a part of it is none or one is said twice."""
    options: dict[str, Any] = {}
    position = 0
    while position < len(text):
        match = OPTION.match(text, position)
        if match is None:
            return None
        found = {name: value for name, value in match.groupdict().items() if value is not None} or {"se": "1"}
        if "length" in found:
            found["embedding_size"] = found.pop("length")
        values = {name: value_of(name, value) for name, value in found.items()}
        if set(values) & set(options):
            return None
        options |= values
        position = match.end()
    return options


def value_of(option: str, text: str) -> Any:
    """An option's value from its text."""
    if option == "output":
        return text.upper()
    if option == "se":
        return text == "1"
    return text if option == "activation" else int(text)


def alias(name: str, depth: int, options: dict[str, Any], *, of_2018: bool) -> tuple[str, Alias] | None:
    """The architecture of this depth; iresnet where the options are those of LResNet-E-IR and it has the depth."""
    depth = ALSO.get(depth, depth)
    if depth not in UNITS:
        return None
    bottleneck = of_2018 and depth >= BOTTLENECK_FROM
    if is_plain(options) and not bottleneck and IRESNET_UNITS.get(depth) == UNITS[depth]:
        kept = {key: value for key, value in options.items() if key == "embedding_size"}
        return f"iresnet{depth}", Alias(name, "mxnet", kept)
    if of_2018:
        options = options | {"revision": "2018"}
    return architecture_name(depth), Alias(name, "mxnet", options)
