"""Every real Paddle file: program against protobuf's own reading of it, weights against their program."""

from __future__ import annotations

import numpy as np
import pytest

from facecvt.converters.errors import FormatError, UsageError, WeightsError
from facecvt.converters.formats.locate import locate
from facecvt.converters.formats.paddle_model import load_paddle
from facecvt.converters.formats.paddle_params import read_combined, read_pdparams, read_separate, write_combined
from facecvt.converters.formats.paddle_program import BOOKKEEPING, read_program
from facecvt.converters.formats.paddle_schema import ATTR_FIELD

COMBINED = ["PNet", "RNet", "ONet"]
PROGRAMS = {  # file -> operators without feed and fetch, parameters, version, input shape
    "mtcnn-pdmodel-combined/PNet.pdmodel": (22, 15, 2000002, (-1, 3, -1, -1)),
    "mtcnn-pdmodel-combined/RNet.pdmodel": (23, 17, 2000002, (-1, 3, 24, 24)),
    "mtcnn-pdmodel-combined/ONet.pdmodel": (27, 20, 2000002, (-1, 3, 48, 48)),
    "mtcnn-old-model-separate/PNet/__model__": (27, 15, 0, (-1, 3, 12, 12)),
    "mtcnn-old-model-separate/RNet/__model__": (24, 17, 0, (-1, 3, 24, 24)),
    "mtcnn-old-model-separate/ONet/__model__": (28, 20, 0, (-1, 3, 48, 48)),
    "mobilefacenet-program-only/head.pdmodel": (196, 333, 2002000, (-1, 3, 112, 112)),
    "mobilefacenet-program-only/older.pdmodel": (103, 149, 2001003, (-1, 3, 112, 112)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_in_figures(real_models, name):
    program = read_program(real_models / "paddle" / name)
    (image,) = program.inputs
    assert program.dialect == "legacy"
    figures = (len(program.ops), len(program.parameters), program.version, program.vars[image].shape)
    assert figures == PROGRAMS[name]
    assert len(program.outputs) == (3 if "mtcnn" in name else 1)
    assert program.parameters == sorted(program.parameters)
    assert all(program.vars[parameter].persistable for parameter in program.parameters)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_is_what_protobuf_reads(real_models, paddle_module, name):
    from paddle.base.proto import framework_pb2

    path = real_models / "paddle" / name
    message = framework_pb2.ProgramDesc.FromString(path.read_bytes())
    program = read_program(path)
    theirs = [op for op in message.blocks[0].ops if op.type not in ("feed", "fetch")]
    assert len(theirs) == len(program.ops)
    values = 0
    for op, their_op in zip(program.ops, theirs, strict=True):
        assert op.type == their_op.type
        assert op.inputs == {slot.parameter: list(slot.arguments) for slot in their_op.inputs}
        assert op.outputs == {slot.parameter: list(slot.arguments) for slot in their_op.outputs}
        their_attrs = {attr.name: getattr(attr, ATTR_FIELD[attr.type]) for attr in their_op.attrs}
        assert set(their_attrs) - set(op.attrs) <= BOOKKEEPING
        for key, value in op.attrs.items():
            assert value == (list(their_attrs[key]) if isinstance(value, list) else their_attrs[key]), (op.name, key)
            assert type(value) in (bool, int, float, str, list)
            values += 1
    assert values > 100
    assert set(program.vars) == {var.name for block in message.blocks for var in block.vars}
    for var in message.blocks[0].vars:
        if var.type.type == 7:
            assert program.vars[var.name].shape == tuple(var.type.dense_tensor.tensor.dims)
            assert program.vars[var.name].dtype is not None


@pytest.mark.parametrize("net", COMBINED)
def test_combined_and_separate_weights_fit_their_programs(real_models, net):
    """The two publications hold different trainings of nets of as many parameters; each fits its own program."""
    model = load_paddle(locate("paddle", real_models / "paddle/mtcnn-pdmodel-combined" / net))
    old = load_paddle(locate("paddle", real_models / "paddle/mtcnn-old-model-separate" / net))
    assert list(model.params) == model.program.parameters
    assert list(old.params) == old.program.parameters
    assert len(model.params) == len(old.params)
    for loaded in (model, old):
        for name, array in loaded.params.items():
            assert array.shape == loaded.program.vars[name].shape
            values = array.numpy()
            assert values.dtype == np.float32
            assert np.isfinite(values).all()
            assert 0 < np.abs(values).max() < 100
    assert model.name == old.name == net
    assert model.unused == old.unused == ()


@pytest.mark.parametrize("net", COMBINED)
def test_rewriting_gives_the_same_bytes(real_models, tmp_path, net):
    model = load_paddle(locate("paddle", real_models / "paddle/mtcnn-pdmodel-combined" / net))
    source = model.files[1]
    write_combined(tmp_path / "mapped.pdiparams", model.params)
    write_combined(tmp_path / "memory.pdiparams", {name: array.numpy().copy() for name, array in model.params.items()})
    assert (tmp_path / "mapped.pdiparams").read_bytes() == source.read_bytes()
    assert (tmp_path / "memory.pdiparams").read_bytes() == source.read_bytes()


def test_program_order_would_be_wrong_and_is_refused(real_models):
    """Pitfall 6: the file is in the order of sorted names. Taken in the program's order, records do not fit."""
    folder = real_models / "paddle/mtcnn-pdmodel-combined"
    program = read_program(folder / "ONet.pdmodel")
    first_use = [
        name for op in program.ops for names in op.inputs.values() for name in names if program.vars[name].persistable
    ]
    program_order = list(dict.fromkeys(first_use))
    assert sorted(program_order) == program.parameters
    assert program_order != program.parameters
    as_read = read_combined(folder / "ONet.pdiparams", program_order, program.vars)  # the order asked for is ignored
    assert list(as_read) == program.parameters
    other = read_program(folder / "RNet.pdmodel")
    with pytest.raises(FormatError, match="not the weights of this program"):
        read_combined(folder / "ONet.pdiparams", other.parameters, other.vars)


def test_leftover_files_are_listed(real_models, tmp_path):
    folder = real_models / "paddle/mtcnn-old-model-separate/PNet"
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "conv9.w_0").write_bytes(b"left over")
    model = load_paddle(locate("paddle", tmp_path))
    assert model.unused == ("conv9.w_0",)
    (tmp_path / "conv1.b_0").unlink()
    (tmp_path / "conv2.w_0").unlink()
    with pytest.raises(WeightsError, match=r"2 of 15 parameters .*: conv1\.b_0, conv2\.w_0"):
        load_paddle(locate("paddle", tmp_path))


def test_separate_file_of_another_variable(real_models, tmp_path):
    folder = real_models / "paddle/mtcnn-old-model-separate/PNet"
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    program = read_program(tmp_path / "__model__")
    (tmp_path / "conv1.b_0").write_bytes((folder / "conv2.b_0").read_bytes())
    with pytest.raises(FormatError, match=r"conv1\.b_0.*is float32 \[16\].*expects float32 \[10\]"):
        read_separate(tmp_path, program.parameters, program.vars)


@pytest.mark.parametrize("name", ["head", "older"])
def test_program_without_weights(real_models, name):
    files = locate("paddle", real_models / "paddle/mobilefacenet-program-only" / f"{name}.pdmodel")
    with pytest.raises(WeightsError, match=rf"no weights were found; looked for {name}\.pdiparams, .*one file per"):
        load_paddle(files)


def test_state_dict_without_program(real_models):
    files = locate("paddle", real_models / "paddle/blazeface-1000e")
    with pytest.raises(UsageError, match="weights without a program"):
        load_paddle(files)


def test_blazeface_state_dict(real_models):
    arrays = read_pdparams(real_models / "paddle/blazeface-1000e/blazeface_1000e.pdparams")
    assert len(arrays) == 198
    assert arrays["backbone.conv1._conv.weight"].shape == (24, 3, 3, 3)
    assert all(array.dtype == np.float32 for array in arrays.values())


def test_a_variable_name_cannot_lead_out_of_the_folder(real_models, tmp_path):
    program = read_program(real_models / "paddle/mtcnn-old-model-separate/PNet/__model__")
    variable = program.vars["conv1.b_0"]
    with pytest.raises(WeightsError, match="outside the folder"):
        read_separate(tmp_path, ["../conv1.b_0"], {"../conv1.b_0": variable})
