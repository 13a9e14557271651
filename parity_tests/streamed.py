"""Values that a framework computes in one call, taken one at a time, so that not all of them are in memory.

The call runs in a thread of its own. Where it hands a value out, it waits until the one before was taken.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from queue import Full, Queue
from threading import Event, Thread
from typing import Any, TypeVar

import numpy as np

NumpyArray = np.ndarray[Any, np.dtype[Any]]
HandOut = Callable[[str, NumpyArray], None]
Result = TypeVar("Result")
SECONDS_BETWEEN = 0.1  # of looking whether somebody still wants the values


class _AbandonedError(BaseException):
    """Nobody wants the values any more; no Exception, so that no framework takes it for one of its own."""


def streamed(compute: Callable[[HandOut], Result]) -> Generator[tuple[str, NumpyArray], None, Result]:
    """Run a computation and take what it hands out.

    Args:
        compute: is called once, with what it has to call with every name and array; both are then the taker's.

    Yields:
        Name and array, in the order in which they were handed out. A generator that is closed ends the computation
        where it hands out the next value.

    Returns:
        What the computation returned.

    Raises:
        BaseException: whatever the computation raises.
    """
    channel: Queue[Callable[[], Any]] = Queue(1)
    abandoned = Event()
    ended = False

    def put(item: Callable[[], Any]) -> None:
        while not abandoned.is_set():
            try:
                channel.put(item, timeout=SECONDS_BETWEEN)
            except Full:
                continue
            return
        raise _AbandonedError

    def end(item: Callable[[], Any]) -> Any:
        nonlocal ended
        ended = True
        return item()

    def work() -> None:
        try:
            try:
                result = compute(lambda name, array: put(lambda: (name, array)))
            except _AbandonedError:
                raise
            except BaseException as error:
                raised = error
                put(lambda: end(lambda: _raise(raised)))
            else:
                put(lambda: end(lambda: result))
        except _AbandonedError:
            pass

    thread = Thread(target=work, name="facecvt-streamed", daemon=True)
    thread.start()
    try:
        while True:
            found = channel.get()()
            if ended:
                final: Result = found
                return final
            yield found
            del found
    finally:
        abandoned.set()
        thread.join()


def _raise(error: BaseException) -> None:
    raise error
