"""Every operation has what emits it."""

from __future__ import annotations

from typing import get_args

from singac.codegen.stretch import IN_SCRATCH, KERNELS
from singac.layers.operations import (
    Convolution,
    GroupSum,
    Loop,
    Operation,
    Product,
    Redistribute,
)

TOLD_APART = (Product, Convolution, Loop, GroupSum, Redistribute)


def test_tables_have_every_operation_once() -> None:
    known = [*TOLD_APART, *KERNELS, *IN_SCRATCH]
    assert sorted(k.__name__ for k in known) == sorted(k.__name__ for k in get_args(Operation))
