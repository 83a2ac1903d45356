"""How a script ends early: signals as exceptions, and errors in a line."""

import contextlib
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from kerasloc.io import printable

STOPPING = ("SIGINT", "SIGTERM", "SIGHUP")
COMPLETE = "written files are complete; the same command resumes or starts again."
TWICE = 1.0  # seconds in which some tools send a signal twice
# what TensorFlow writes around the line that says why
MARKS = r"\{\{.*?\}\}\s*|\[Op:.*|Graph execution error:|<stack traces .*?>"
TRACE = r"Detected at node .*(\n\s+.*)*"


def expected_errors() -> tuple[type[Exception], ...]:
    """Return the errors that users can do something about.

    Example:
        >>> OSError in expected_errors()
        True
    """
    tensorflow = sys.modules.get("tensorflow")  # not loaded for this
    graph = () if tensorflow is None else (tensorflow.errors.OpError,)
    return (ValueError, TypeError, ImportError, OSError, *graph)


def reason(error: BaseException) -> str:
    r"""Return the message of an error with its notes; of TensorFlow's, the line of it.

    Example:
        >>> error = OSError("disk full")
        >>> error.add_note("a/run is safe.")
        >>> reason(error)
        'disk full a/run is safe.'
    """
    text, notes = str(error), getattr(error, "__notes__", ())
    if isinstance(error, KeyboardInterrupt):
        text = f"stopped by {signal.Signals(signal_of(error)).name};"
        notes = notes or [COMPLETE]
    elif hasattr(error, "node_def"):
        text = re.sub(MARKS, "", re.sub(TRACE, "", text), flags=re.DOTALL).strip()
        text = text.splitlines()[0].strip() if text else type(error).__name__
    return printable(" ".join([text, *notes]), keep="\n")


def signal_of(stop: KeyboardInterrupt) -> int:
    """Return the number of the signal that stops a process.

    Example:
        >>> signal_of(KeyboardInterrupt(15))
        15
    """
    return stop.args[0] if stop.args else signal.SIGINT


class PlainFormatter(logging.Formatter):
    r"""Format messages, names of files in them without hidden characters.

    Example:
        >>> record = logging.makeLogRecord({"msg": "a\u202egnp.exe"})
        >>> PlainFormatter("%(message)s").format(record)
        'a\\u202egnp.exe'
    """

    def format(self, record: logging.LogRecord) -> str:
        """Format a record; lines stay."""
        return printable(super().format(record), keep="\n\t")


@contextlib.contextmanager
def signals_as_interrupts() -> Iterator[None]:
    """Raise KeyboardInterrupt(number) at a signal to stop; a later one kills.

    Signals that are ignored, as SIGHUP below nohup, stay so.

    Example:
        >>> with signals_as_interrupts():
        ...     pass
    """
    first: list[float] = []

    def stop(number: int, _: Any) -> None:
        if not first:
            first.append(time.monotonic())
            raise KeyboardInterrupt(number)
        if time.monotonic() - first[0] > TWICE:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():  # no thread but it may
        numbers = [getattr(signal, n) for n in STOPPING if hasattr(signal, n)]
        before = {n: signal.getsignal(n) for n in numbers}
    before = {n: old for n, old in before.items() if old != signal.SIG_IGN}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
