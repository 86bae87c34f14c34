"""Ctrl-C while a solver runs.

While a monitor is open in the main thread, SIGINT both sets a flag and raises KeyboardInterrupt. The
exception ends a method's Python code at once; where it is lost (Numba turns it into a SystemError, a
destructor swallows it), the flag still ends the run at the next record. Inside the monitor's own methods
only the flag is set, so that no record is left half done and no monitor half open; likewise between a
monitor's end and its result, so that a finished run is not lost.
"""

from __future__ import annotations

import threading
from signal import SIGINT, default_int_handler
from typing import TYPE_CHECKING

from .result import PACKAGE

try:
    # What `signal` wraps: its enumerations would cost a small solve a fifth of its time.
    from _signal import getsignal, signal  # type: ignore[import-not-found]  # no stub
except ImportError:  # not CPython
    from signal import getsignal, signal

if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Self


#: Modules where an exception is lost or worse. Python only prints what callbacks of weak references raise.
#: In the others a generator of random numbers is taken apart for compiled code: Numba goes on as if all were
#: well, with an address that is none.
UNSAFE = ("weakref", "_weakrefset", "ctypes", "namedtuple_interface")


class Thread(threading.local):
    """What each thread knows: how many monitors are open in it, and whether one is writing its records."""

    count = 0
    held = False


class Keyboard:
    """The handler of SIGINT, for the monitors of the main thread.

    Three states: no monitor (Python's own handler), an open monitor (flag and exception), and a closed one
    whose method still prepares its result (flag alone, so that the work is not lost; a second Ctrl-C raises).
    Between the solves of a `Guarded` block Ctrl-C does as in an open monitor.
    """

    def __init__(self) -> None:
        self.was_pressed = False
        self.guarded = False
        self.awaits_result = False
        self.handler = self._press  # one object, which is recognised

    def open(self) -> None:
        # Whoever has a handler of his own knows what Ctrl-C should do. Python's may raise: count later.
        if thread.count == 0 and getsignal(SIGINT) is default_int_handler and in_main_thread():
            signal(SIGINT, self.handler)
        thread.count += 1

    def close(self) -> tuple[bool, bool]:
        """Return whether this was the outermost monitor, and whether Ctrl-C was pressed."""
        pressed = self.was_pressed and in_main_thread()
        thread.count -= 1
        if thread.count == 0 and in_main_thread():
            self.awaits_result = True
            if pressed:
                self.was_pressed = False
        return thread.count == 0, pressed

    def finish(self) -> bool:
        """Give Python its handler back; return whether Ctrl-C was pressed since the monitor was closed."""
        if thread.count or not in_main_thread():
            return False
        self.awaits_result = False
        if not self.guarded and getsignal(SIGINT) is self.handler:
            signal(SIGINT, default_int_handler)
        pressed, self.was_pressed = self.was_pressed, False
        return pressed

    def _press(self, number: int, frame: FrameType | None) -> None:
        if thread.count == 0 and not self.guarded and (self.was_pressed or not _in_package(frame)):
            self.finish()
            default_int_handler(number, frame)
        raises = thread.count > 0 or (self.guarded and (self.was_pressed or not self.awaits_result))
        self.was_pressed = True
        if raises and not thread.held and not _at_a_door(frame):
            raise KeyboardInterrupt


class Holding:
    """A block in which Ctrl-C waits; `pressed` says afterwards whether it came."""

    pressed = False

    def __enter__(self) -> Self:
        keyboard.open()
        self._held, thread.held = thread.held, True
        return self

    def __exit__(self, *error: object) -> None:
        thread.held = self._held
        self.pressed = keyboard.close()[1] | keyboard.finish()


class Guarded:
    """Solves and the work between them; `pressed` says afterwards if Ctrl-C came and its exception was lost.

    Under Python's own handler it would be lost for good between two solves, for instance while the garbage
    collector calls back. Each solve still tells in its result that Ctrl-C ended it.
    """

    pressed = False

    def __enter__(self) -> Self:
        self._mine = in_main_thread() and getsignal(SIGINT) is default_int_handler
        if self._mine:
            signal(SIGINT, keyboard.handler)
            keyboard.guarded = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._mine:
            keyboard.guarded = False
            self.pressed = keyboard.finish()
        if self.pressed and error is not None:  # whatever else ended the block
            raise KeyboardInterrupt from error


thread = Thread()
keyboard = Keyboard()


def in_main_thread() -> bool:
    return threading.get_ident() == threading.main_thread().ident


def _in_package(frame: FrameType | None) -> bool:
    """Whether the package is at work: a method that failed before its result has left the stack."""
    while frame is not None:
        if frame.f_code.co_filename.startswith(PACKAGE):
            return True
        frame = frame.f_back
    return False


def _at_a_door(frame: FrameType | None) -> bool:
    """Whether a block of the package is being entered or left: an exception would leave the count wrong.

    Or whether one would not come out: Python only prints what destructors raise, and the parts that JAX and
    others have in its garbage collector; in others it would end the interpreter. Then the flag ends the run.
    """
    for _ in range(3):
        if frame is None:
            return False
        code = frame.f_code
        if code.co_filename == __file__ or code.co_name == "__del__" or "gc_callback" in code.co_name:
            return True
        if frame.f_globals.get("__name__") in UNSAFE:
            return True
        if code.co_name in {"__enter__", "__exit__"} and code.co_filename.startswith(PACKAGE):
            return True
        frame = frame.f_back
    return False


def is_interrupt(error: BaseException | None) -> bool:
    """Whether Ctrl-C is the reason of an error: Numba turns it into a SystemError, with the cause kept."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, KeyboardInterrupt):
            return True
        if not isinstance(error, SystemError | RuntimeError):
            return False
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False
