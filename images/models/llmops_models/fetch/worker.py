"""A thread for hashing or writing, which goes on beside receiving and unpacking."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

# With pieces of a MiB this bounds what is held in memory.
WAITING = 8

Task = tuple[Callable[[Any], object], Any]


class Worker:
    """Calls functions in the order in which they are given; a context, at whose end it stops.

    The first error is raised by the next `settle`, and what was given after it is dropped.
    """

    def __init__(self, name: str) -> None:
        self._tasks: queue.Queue[Task | None] = queue.Queue(WAITING)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, function: Callable[[Any], object], argument: Any) -> None:
        """Has `function(argument)` called after all that was given before."""
        self._tasks.put((function, argument))

    def settle(self) -> None:
        """Waits until nothing is left to do; raises what went wrong."""
        self._tasks.join()
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._tasks.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                if self._error is None:
                    function, argument = task
                    function(argument)
            # It is raised again where the results are needed.
            except BaseException as error:
                self._error = error
            finally:
                self._tasks.task_done()
