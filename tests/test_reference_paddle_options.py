"""The options of an architecture on their way to the process in which Paddle writes it."""

from __future__ import annotations

import json

import pytest

from facecvt.reference_models import names, spec


@pytest.mark.parametrize("name", names())
def test_options_arrive_as_they_were(name, paddle_module):
    from facecvt.reference_models.materialise_paddle import options_of

    architecture = spec(name)
    arrived = options_of(json.dumps(dict(architecture.options)))
    assert arrived == dict(architecture.options)
    assert spec(name).with_options(**arrived) == architecture
