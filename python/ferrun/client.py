"""What a worker may ask of its launcher: who am I, have I to save now, and where do errors go.

One file that needs nothing but Python's own library: it may be copied into a program. It works under ferrun, under
torchrun, and without a launcher, as a world of one. The C++ form is <ferrun/client.h>.
"""

import enum
import functools
import json
import os
import signal
import threading
import time
import traceback
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, Optional, TypeVar, Union

__all__ = ["Cause", "Context", "SaveFlag", "context", "record", "report_error"]


@dataclass(frozen=True)
class Context:
    """The worker's place in the job."""

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1
    local_world_size: int = 1
    group_rank: int = 0
    restart_count: int = 0
    max_restarts: int = 0
    run_id: str = ""
    # Unique for one launch, equal on all its ranks and through all its restarts; under torchrun made from the run id and
    # the agent's pid and start time. "" without a launcher.
    launch_id: str = ""
    # A folder of this node's for notes that outlive an attempt; the first worker that has one makes it with mode 0700,
    # ferrun removes it at the job's end. "" where there is none.
    launch_dir: str = ""
    error_file: Optional[str] = None


def _number(name: str, otherwise: int) -> int:
    text = os.environ.get(name, "")
    if not text:  # launchers' own templates leave empty variables
        return otherwise
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"{name}={text} is not a number of 0 or more")
    return int(text)


def _check_rank(rank_name: str, rank: int, size_name: str, size: int) -> None:
    if rank >= size:
        raise ValueError(f"{rank_name}={rank} is outside the world of {size_name}={size}")


def _launch_id() -> str:
    given = os.environ.get("FERRUN_LAUNCH_ID", "")
    run_id = os.environ.get("TORCHELASTIC_RUN_ID", "")
    if given or not run_id:
        return given
    agent = os.getppid()
    try:
        with open(f"/proc/{agent}/stat", encoding="ascii", errors="replace") as file:
            # The 22nd field; the second is the only one with blanks, and ends in the last bracket.
            started = file.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        started = ""
    return f"{run_id}-{agent}-{started}"


def context() -> Context:
    """The worker's place, from the environment that ferrun and torchrun set.

    Raises ValueError, which names the variable, for what is not a number and for ranks outside their world.
    """
    local_world = os.environ.get("LOCAL_WORLD_SIZE", "")
    here = Context(
        rank=_number("RANK", 0),
        local_rank=_number("LOCAL_RANK", 0),
        world_size=_number("WORLD_SIZE", 1),
        local_world_size=_number("LOCAL_WORLD_SIZE", 1),
        group_rank=_number("GROUP_RANK", 0),
        restart_count=_number("TORCHELASTIC_RESTART_COUNT", 0),
        max_restarts=_number("TORCHELASTIC_MAX_RESTARTS", 0),
        run_id=os.environ.get("TORCHELASTIC_RUN_ID", ""),
        launch_id=_launch_id(),
        launch_dir=os.environ.get("FERRUN_LAUNCH_DIR", ""),
        error_file=os.environ.get("TORCHELASTIC_ERROR_FILE") or None,
    )
    _check_rank("RANK", here.rank, "WORLD_SIZE", here.world_size)
    if local_world:
        _check_rank("LOCAL_RANK", here.local_rank, "LOCAL_WORLD_SIZE", here.local_world_size)
        if here.local_world_size > here.world_size:
            raise ValueError(f"LOCAL_WORLD_SIZE={local_world} is larger than WORLD_SIZE={here.world_size}")
    return here


class Cause(enum.Enum):
    """Whose failure a worker reports. When one rank fails all others lose their connection to it: ferrun looks for the
    root cause among those that failed by themselves."""

    UNSAID = ""  # ferrun goes by the words of the message
    OWN = "own"  # this rank failed by itself
    LOST_PEER = "lost_peer"  # another rank failed, or does not answer


def _replace_file(path: str, text: str) -> None:
    # The reader sees the old file or the whole new one, also when this process is killed meanwhile.
    draft = f"{path}.draft-{os.getpid()}"
    try:
        with open(draft, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        os.replace(draft, path)
    except BaseException:
        try:
            os.unlink(draft)
        except OSError:
            pass
        raise


def report_error(error: Union[str, BaseException], cause: Cause = Cause.UNSAID) -> bool:
    """Writes the error file that ferrun and torchrun read for their reports.

    An exception is written with its traceback, in the form of torch's ``@record``; a text in the simple form. Returns
    whether a file was written: without a launcher there is none to write. Never raises.
    """
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if not path:
        return False
    try:
        now = int(time.time())
        report: Dict[str, Any]
        if isinstance(error, BaseException):
            report = {
                "message": {
                    "message": f"{type(error).__name__}: {error}",
                    "extraInfo": {
                        "py_callstack": "".join(
                            traceback.format_exception(type(error), error, error.__traceback__)
                        ),
                        "timestamp": str(now),
                    },
                }
            }
        else:
            report = {"message": str(error), "timestamp": now}
        if cause is not Cause.UNSAID:
            report["ferrun"] = {"kind": cause.value}
        _replace_file(path, json.dumps(report) + "\n")
        return True
    except Exception:
        return False  # the process is about to end with the error itself


_Function = TypeVar("_Function", bound=Callable[..., Any])


def record(function: _Function) -> _Function:
    """Decorates a worker's main function: what it raises goes to the error file, and on.

    ``SystemExit`` is an end and no error, as for torch's decorator of this name.
    """

    @functools.wraps(function)
    def recorded(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except SystemExit:
            raise
        except BaseException as error:
            report_error(error)
            raise

    return recorded  # type: ignore[return-value]


class SaveFlag:
    """Whether it is time to save, as a flag to be looked at between two steps::

        save = SaveFlag()
        for step in steps:
            train(step)
            if save.take():
                save_checkpoint()
            if save.stopping:
                break

    SIGUSR1 asks to save and go on: schedulers send it some time before a job's end, and ferrun passes it on to every
    worker. SIGTERM asks to save and end: ferrun sends it before it kills, ``--shutdown-timeout`` before. Handlers that
    were there before are called too. Ranks see a signal at different steps: who saves with collectives agrees first,
    for instance by an all-reduce of the flag.

    To be made in the main thread, which is Python's rule for signal handlers; read from any.
    """

    def __init__(
        self,
        save_signals: Iterable[int] = (signal.SIGUSR1,),
        stop_signals: Iterable[int] = (signal.SIGTERM,),
    ) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("SaveFlag handles signals: make it in the main thread")
        # Two counters and no flag: a signal between a look and its answer is not lost.
        self._asked = 0
        self._answered = 0
        self._stopping = False
        self._before: Dict[int, Any] = {}
        stops = frozenset(stop_signals)
        for number in (*save_signals, *stops):
            self._install(number, number in stops)

    @property
    def requested(self) -> bool:
        """Whether a signal has come since the last take()."""
        return self._asked != self._answered

    @property
    def stopping(self) -> bool:
        """Whether the worker was asked to end. Stays."""
        return self._stopping

    def take(self) -> bool:
        """Whether it is time to save; a request is answered once."""
        asked = self._asked
        due = asked != self._answered
        self._answered = asked
        return due

    def close(self) -> None:
        """Puts the handlers back that were there before."""
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._before.clear()

    def __enter__(self) -> "SaveFlag":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _install(self, number: int, stops: bool) -> None:
        def handle(signal_number: int, frame: Any) -> None:
            self._asked += 1
            self._stopping = self._stopping or stops
            if callable(before):
                before(signal_number, frame)

        before = signal.getsignal(number)
        self._before[number] = before
        signal.signal(number, handle)
