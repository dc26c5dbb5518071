"""The threads of a process: each a worker or a server, or both in turn; usually there is one."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence

Duty = Callable[[], None]


class Crew:
    """What the threads of a process have to do, and what comes after all of it is done."""

    def __init__(self, duties: Sequence[Duty], after: Duty) -> None:
        self._duties, self._after = duties, after

    def run(self) -> None:
        """Return when all are done; raises what the first of them raised that failed."""
        if len(self._duties) == 1:
            self._duties[0]()
        else:
            self._run_together()
        self._after()

    def _run_together(self) -> None:
        """Each in a thread of its own: this one must be free to hear of a failure at once."""
        ends: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

        def thread(duty: Duty) -> None:
            try:
                duty()
                ends.put(None)
            except BaseException as error:
                ends.put(error)

        for duty in self._duties:
            threading.Thread(target=thread, args=(duty,), daemon=True).start()
        for _ in self._duties:
            failure = ends.get()
            if failure is not None:
                raise failure
