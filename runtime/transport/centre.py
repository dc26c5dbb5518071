"""How server groups bring their progress together.

The centre lives with the servers of group 0. Each server, those of group 0 too, gives it the
progress of its slices since the last time and goes on from the centre's answer:

    server of group s   p ....... p + d ............. p + d + e ----> next time: e
                                  | d                     ^
    centre              c ------- c + d ------------------| c + d + e

Work done between asking and the answer is kept, and given the next time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from runtime.transport.stub import Floats
from singac.plan.plan import Reconcile


class Centre:
    """The params that all server groups agree on, of one server's slices end to end."""

    def __init__(self, params: Sequence[Floats], reconcile: Reconcile, server_groups: int) -> None:
        self.params = joined(params)
        self._kind, self._groups = reconcile.kind, server_groups
        self._rate, self._momentum = np.float32(reconcile.rate), np.float32(reconcile.momentum)
        outer = reconcile.kind == "outer"
        self._velocity = np.zeros_like(self.params) if outer else self.params[:0]
        self._waiting = np.zeros_like(self.params) if outer else self.params[:0]
        self._taken = 0

    def take(self, delta: Floats) -> None:
        """Move by what one server group has done."""
        match self._kind:
            case "delta":
                self.params += delta
            case "average":
                self.params += delta / np.float32(self._groups)
            case "outer":
                self._step(delta / np.float32(self._groups))
            case _:
                raise AssertionError(f"there is no reconciliation {self._kind}")

    def _step(self, share: Floats) -> None:
        """Nesterov's momentum, delayed: it moves once all groups have given their share.

        Applied at each delta it would act on the same progress again and again (asynchronous Local
        SGD, Liu et al. 2024): in a round the centre goes rate * (d + m v) with v = m v + d.
        """
        self.params += self._rate * share
        self._waiting += share
        self._taken += 1
        if self._taken % self._groups == 0:
            self._velocity *= self._momentum
            self._velocity += self._waiting
            self._waiting[:] = 0.0
            self.params += self._rate * self._momentum * self._velocity


class Member:
    """One server's view of its slices since it last heard of the centre."""

    def __init__(self, params: Sequence[Floats]) -> None:
        self._params, self._base = params, joined(params)
        self._sent = self._base.copy()
        self.waits = False

    def progress(self) -> Floats:
        """What to give the centre now."""
        self._sent[:] = joined(self._params)
        self.waits = True
        return self._sent - self._base

    def adopt(self, centre: Floats) -> None:
        """Go on from the centre, with what was done since the centre was asked."""
        moved, at = centre - self._sent, 0
        for part in self._params:
            part += moved[at : at + part.size]
            at += part.size
        self._base[:] = centre
        self.waits = False


def joined(slices: Sequence[Floats]) -> Floats:
    """A copy of some slices, one after the other."""
    return np.concatenate([np.zeros(0, np.float32), *slices])
