"""Nets cut in every way train as one worker does."""

from __future__ import annotations

import numpy as np
import pytest

from singac.model.resolve import Choices
from tests.inprocess import InProcess
from tests.programs import small
from tests.codegen.test_steps import plan_of, batch_of
