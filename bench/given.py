"""What peers are given so that they train the same net: initial params, and batches in our order.

GIVEN/params.npz         every param in its canonical shape, by its name
      batches.FIELD.npy  [steps][batch][columns], float32, scaled as the net reads them
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from runtime.checkpoints import packing, snapshot
from runtime.process.data import Feeder
from runtime.process.lanes import Lanes
from singac.compile import Compiled
from singac.plan.plan import Plan
from singac.sources.prepare import prepare

STEPS = 50


def give(compiled: Compiled, cache: str, folder: Path) -> None:
    """Write what a peer reads into a folder."""
    plan = compiled.plan
    data = prepare(compiled.request, compiled.model.dataset.facts, cache)
    for what, arrays in (("params", _params(plan)), ("batches", _batches(plan, data))):
        for name, values in arrays.items():
            np.save(folder / f"{what}.{name}.npy", values)


def _params(plan: Plan) -> dict[str, packing.Floats]:
    space = np.zeros(plan.param_floats, np.float32)
    states = np.zeros((len(plan.update.states), plan.param_floats), np.float32)
    snapshot.fill(plan, space, states, None, {})
    return {p.name: packing.unpack(p, packing.part(p, space)) for p in plan.params}


def _batches(plan: Plan, data: str) -> dict[str, packing.Floats]:
    """The first batches of training, as every worker reads its rows of them."""
    training = plan.training
    lanes = Lanes(plan.data.train, training.batch, 1, once=False) if training.carry else None
    feeder = Feeder(data, plan.data, "train", training.batch, training.seed, lanes=lanes)
    batches = {
        field.name: np.empty((STEPS, training.batch, int(np.prod(field.shape))), np.float32)
        for field in plan.data.fields
    }
    for step in range(STEPS):
        views = {name: values[step] for name, values in batches.items()}
        feeder.fill(step, 0, training.batch, views)
    return batches
