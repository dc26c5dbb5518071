"""Random cases trained by real processes that live through many of them.

`mpiexec -n 8 python -m tests.partition.ranks FIRST COUNT FOLDER`: the processes of a case are the
first of them. Process 0 plans and compiles for all, trains the net alone, and compares. Plans and
native code lie in the folder. Odd seeds exchange by messages, even ones in shared memory.

Some nets make much of little: one that differs is trained again by one worker, whose initial params
are a rounding off. If these runs differ too, the case says nothing, and is told.
"""

from __future__ import annotations

import shutil
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runtime import world
from runtime.checkpoints import snapshot
from runtime.checkpoints.packing import part, unpack
from runtime.process.chief import slot_of
from runtime.process.data import Values
from runtime.process.steps import steps_of
from runtime.process.worker import TEST, Worker
from runtime.progress import Mark
from runtime.transport.stub import TEST_SLOT, Stub
from singac.codegen.load import load
from singac.plan.encode import from_json, to_json
from singac.plan.plan import Plan
from tests.inprocess import Array
from tests.partition.nets import MOST_WORKERS, Case, case
from tests.partition.test_cuts import alike, batch_of, cut_plan

STEPS, NAP_SECONDS = 20, 0.01
ROUNDING, SHAKES = 6e-8, (1, 2, 3)

world.connect(MOST_WORKERS)

from mpi4py import MPI  # noqa: E402

from runtime.transport.messages import MessageStub  # noqa: E402
from runtime.transport.shared import SharedStub  # noqa: E402


@dataclass(frozen=True, slots=True)
class Drawn:
    """Batches drawn by their number, as `Feeding` and `FeedingAhead` of a run."""

    case: Case
    batches: int = 1

    @property
    def batch(self) -> int:
        return self.case.batch

    @property
    def examples(self) -> int:
        return self.case.batch

    def begins(self, step: int) -> bool:
        return False

    def fill(
        self, step: int, first_row: int, rows: int, views: Mapping[str, Values], first: int = 0
    ) -> int:
        values = batch_of(self.case, step)
        for field, view in views.items():
            view[...] = values[field][first_row : first_row + rows, first : first + view.shape[1]]
        return rows

    def fill_ahead(
        self,
        step: int,
        steps: int,
        first_row: int,
        rows: int,
        views: Mapping[str, Values],
        first: int = 0,
    ) -> None:
        for k in range(steps):
            own = {field: view[k * rows : (k + 1) * rows] for field, view in views.items()}
            self.fill(step + k, first_row, rows, own, first)


@dataclass(frozen=True, slots=True)
class Trained:
    """What the chief has at the end: metrics of every step and of a test, params by name."""

    metrics: Array
    tested: Array
    params: Mapping[str, Array]


def train(
    case: Case, plan: Plan, processes: MPI.Intracomm, messages: bool = False, shake: int = 0
) -> Trained:
    """Train, test and gather, one of the `processes`; others than the chief get what they see.

    With a `shake` the initial params are a rounding off, each number of it another way.
    """
    process = plan.processes[processes.Get_rank()]
    kind = MessageStub if messages else SharedStub
    mark = Mark.apart()
    stub: Stub = kind(plan, process, processes, mark)
    if stub.owns_memory_of_node():
        snapshot.fill(plan, stub.params, stub.states, None, {})
    if shake:
        ways = np.random.default_rng(shake).choice((-ROUNDING, ROUNDING), stub.params.size)
        stub.params *= (1 + ways).astype(np.float32)
    worker = Worker(plan, process, load(plan, process), stub, lambda part, once: Drawn(case))
    steps = steps_of(worker, stub, mark, 0, gives=True)
    stub.ready(0)
    is_chief, seen = process.worker == 0, []
    done = 0
    while done < STEPS:
        count = min(steps.most, STEPS - done)  # the chief does one at a time
        steps.do(done, count)
        if is_chief:
            seen.append(stub.sums(*slot_of(done)))
        done += count
    tested: list[float] = []
    if process.test is not None:
        worker.test(TEST, STEPS, 1)
        stub.post(TEST_SLOT, 0, worker.given)
        tested = stub.sums(TEST_SLOT, 0) if is_chief else []
    if is_chief:
        for param in range(len(plan.params)):
            stub.pull(param, STEPS)
        stub.gather(STEPS)
    params = {p.name: np.array(unpack(p, part(p, stub.params)), np.float64) for p in plan.params}
    stub.finish()
    stub.free()
    return Trained(np.array(seen), np.array(tested), params)


def differences(one: Trained, many: Trained) -> list[str]:
    """What is not the same."""
    found = [n for n, values in one.params.items() if not alike(values, many.params[n])]
    for name, a, b in (
        ("metrics", one.metrics, many.metrics),
        ("test", one.tested, many.tested),
    ):
        if not np.allclose(b, a, rtol=1e-5, atol=0):
            found.append(name)
    return found


def run(seed: int, folder: Path) -> bool:
    """One case; whether it holds, as process 0 knows it."""
    drawn, everyone = case(seed), MPI.COMM_WORLD
    own = everyone.Get_rank()
    if own == 0:
        made = cut_plan(drawn, drawn.workers)
        (folder / "plan.json").write_text(to_json(made), encoding="utf-8")
        for process in made.processes:
            load(made, process)
    meet(everyone)
    plan = from_json((folder / "plan.json").read_text(encoding="utf-8"))
    of_case = MPI.Intracomm(everyone.Split(int(own >= drawn.workers), own))
    holds = True
    if own < drawn.workers:
        many = train(drawn, plan, of_case, messages=seed % 2 == 1)
    if own == 0:
        alone = cut_plan(drawn, 1)
        one = train(drawn, alone, MPI.COMM_SELF)
        if found := differences(one, many):
            shaken = (train(drawn, alone, MPI.COMM_SELF, shake=k) for k in SHAKES)
            holds = any(differences(one, other) for other in shaken)
            rest = "so they do for one worker with params a rounding off" if holds else "a fault"
            print(f"case {seed}: {', '.join(found)} differ; {rest}", flush=True)
    meet(everyone)
    of_case.Free()
    return holds


def meet(everyone: MPI.Intracomm) -> None:
    """Wait for all; seven wait while one compiles, and leave it the core."""
    request = everyone.Ibarrier()
    while not request.Test():
        time.sleep(NAP_SECONDS)


def main() -> None:
    first, count, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    held = 0
    for seed in range(first, first + count):
        try:
            held += run(seed, folder)
        except BaseException:
            print(f"case {seed} failed in process {MPI.COMM_WORLD.Get_rank()}", file=sys.stderr)
            traceback.print_exc()
            MPI.COMM_WORLD.Abort(1)
        if MPI.COMM_WORLD.Get_rank() == 0:
            shutil.rmtree(folder / "objects", ignore_errors=True)
    if MPI.COMM_WORLD.Get_rank() == 0:
        print(f"{held} of {count} from {first} on", flush=True)
    world.leave()


if __name__ == "__main__":
    main()
