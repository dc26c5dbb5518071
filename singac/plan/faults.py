"""The ways a plan can contradict itself, each under its own name."""

from __future__ import annotations


class BrokenPlan(AssertionError):
    """The plan contradicts itself."""


class OverlappingBuffers(BrokenPlan):
    """Two buffers share memory while both are kept."""


class BufferOutside(BrokenPlan):
    """A buffer or the scratch of a stretch reaches past the end of its space."""


class UnwrittenBuffer(BrokenPlan):
    """An operation reads what nothing has written before."""


class StrayBuffer(BrokenPlan):
    """A stretch takes a buffer for something else than its program, or than the param space."""


class CutInsideVector(BrokenPlan):
    """A slice starts or ends inside a vector."""


class UnownedParam(BrokenPlan):
    """A part of a param belongs to no server."""


class TwoOwners(BrokenPlan):
    """A part of a param belongs to two servers."""


class MissingPull(BrokenPlan):
    """A stretch reads a param that its program did not wait for."""


class EarlyPush(BrokenPlan):
    """A param is read, or its gradient written, after its push."""


class MissingPush(BrokenPlan):
    """A server waits for a gradient that some worker never pushes."""


class DuplicatePush(BrokenPlan):
    """A worker pushes a gradient twice in a step."""


class MissingServe(BrokenPlan):
    """A pushed gradient is served by nobody, or by a server that does not own the slice."""


class DuplicateServe(BrokenPlan):
    """A slice is served twice in a step."""


class StrayGradient(BrokenPlan):
    """A worker has a gradient that no server expects of it, or none of what one waits for."""


class UnclippedServe(BrokenPlan):
    """A slice is updated before the norm of the whole gradient is known, or is no part of it."""


class MissingSend(BrokenPlan):
    """A worker waits for a part of a layer that nobody sends."""


class MissingReceive(BrokenPlan):
    """A part of a layer is sent to a worker that never takes it."""


class DuplicateSend(BrokenPlan):
    """A worker sends its part twice in one exchange of a step."""


class DuplicateReceive(BrokenPlan):
    """A worker takes the parts of one exchange twice in a step."""


class TagsDiffer(BrokenPlan):
    """The two ends of an exchange have different tags."""


class SharedTag(BrokenPlan):
    """Two exchanges have one tag: a part could be taken for that of another layer."""


class UnheldPart(BrokenPlan):
    """A worker wants a part of a layer that no worker holds."""


class MisplacedPart(BrokenPlan):
    """A buffer has not the size of the part that it is to hold, or holds none."""


class Deadlock(BrokenPlan):
    """Processes wait for each other in a circle."""
