"""python -m ferrun.worker_call FOLDER: a worker that calls the function of a launch_agent() and leaves its result."""

import os
import pickle
import sys
from multiprocessing import spawn
from pathlib import Path
from typing import Any, Callable, Dict, Tuple

from ferrun.client import context, record


def _preparation() -> Dict[str, Any]:
    """What multiprocessing.spawn.prepare() needs to find what is pickled here: the folders of modules, and the main
    script, which it imports as __mp_main__."""
    preparation: Dict[str, Any] = {
        "sys_path": [path or os.getcwd() for path in sys.path],
        "sys_argv": list(sys.argv),
        "dir": os.getcwd(),
    }
    main = sys.modules["__main__"]
    name = getattr(main.__spec__, "name", None)
    if name is not None:
        preparation["init_main_from_name"] = name
    elif getattr(main, "__file__", None):
        preparation["init_main_from_path"] = os.path.abspath(main.__file__)
    return preparation


def write_call(folder: str, function: Callable[..., Any], args: Tuple[Any, ...]) -> None:
    """For the launching side: what the workers call, and what they need to find it.

    Raises what pickle raises for a function or an argument that cannot travel.
    """
    call_and_main = (_preparation(), pickle.dumps((function, args)))
    Path(folder, "call").write_bytes(pickle.dumps(call_and_main))


def read_results(folder: str) -> Dict[int, Any]:
    """{rank: result} of the last round that left any."""
    rounds: Dict[int, Dict[int, Path]] = {}
    for file in Path(folder).glob("result-*-*"):
        _, number, rank = file.name.split("-")
        rounds.setdefault(int(number), {})[int(rank)] = file
    last = rounds[max(rounds)] if rounds else {}
    return {rank: pickle.loads(last[rank].read_bytes()) for rank in sorted(last)}


@record
def work(folder: str) -> None:
    preparation, call = pickle.loads(Path(folder, "call").read_bytes())
    spawn.prepare(preparation)
    function, args = pickle.loads(call)
    result = function(*args)
    number = os.environ.get("FERRUN_ROUND") or os.environ.get("TORCHELASTIC_RESTART_COUNT") or "0"
    file = Path(folder, f"result-{int(number)}-{context().rank}")
    draft = file.with_name(f"draft-{os.getpid()}")
    draft.write_bytes(pickle.dumps(result))
    draft.replace(file)


if __name__ == "__main__":
    # By its full name, so that what is pickled here does not refer to __main__, which is the launching script's.
    from ferrun import worker_call

    worker_call.work(sys.argv[1])
