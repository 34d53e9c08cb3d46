"""For programs that launch from Python, in the call forms of torch.distributed.run and torch.distributed.launcher::

    from ferrun.run import main
    main(["--nproc-per-node=2", "train.py", "--lr", "1e-3"])

    from ferrun.run import LaunchConfig, elastic_launch
    results = elastic_launch(LaunchConfig(nproc_per_node=2), train)(data, lr)   # {rank: what train() returned}

Everything is done by the native program in a process of its own; nothing here needs torch.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Union

from ferrun import worker_call
from ferrun.program import environment, find_program

__all__ = ["LaunchConfig", "LaunchFailed", "elastic_launch", "launch_agent", "main"]

_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


class LaunchFailed(RuntimeError):
    """The job did not end well. ferrun has printed its report already.

    exit_status  ferrun's: the failed worker's where a worker failed, see ferrun(1)
    message      the root cause as the failed worker wrote it to its error file, else in ferrun's words; "" for a job
                 that was never started
    traceback    that of the worker, where it wrote one
    """

    def __init__(self, exit_status: int, message: str = "", traceback: str = "") -> None:
        super().__init__(f"ferrun ended with status {exit_status}" + (f": {message}" if message else ""))
        self.exit_status = exit_status
        self.message = message
        self.traceback = traceback


@dataclass
class LaunchConfig:
    """What torch's LaunchConfig of the same name says of a job; an object of torch's class serves as well.

    options  further options of the ferrun(1) command line, as "--tee=3"
    """

    min_nodes: int = 1
    max_nodes: int = 1
    nproc_per_node: Union[int, str] = 1
    run_id: str = ""
    role: str = "default_role"
    rdzv_endpoint: str = ""
    rdzv_backend: str = "c10d"
    rdzv_configs: Dict[str, Any] = field(default_factory=dict)
    max_restarts: int = 3
    local_addr: Optional[str] = None
    log_line_prefix_template: Optional[str] = None
    options: Sequence[str] = ()


def _root_cause(path: str) -> Tuple[str, str]:
    """Message and traceback of an error file in either of torchrun's forms."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            message = json.load(file)["message"]
        if isinstance(message, str):
            return message, ""
        return str(message["message"]), str(message.get("extraInfo", {}).get("py_callstack", ""))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return "", ""


def _parent_death_signal() -> Optional[Callable[[], None]]:
    """For the child: should this Python be killed outright, the job ends as by SIGTERM."""
    try:
        import ctypes

        prctl = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return None
    set_parent_death_signal = 1

    def arm() -> None:
        prctl(set_parent_death_signal, int(signal.SIGTERM), 0, 0, 0)

    return arm


class _Forwarding:
    """While a job runs, signals to this process are the job's: it ends, and its status says how."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._before: Dict[int, Any] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # handlers belong to the main thread, which has its own
        for number in _FORWARDED:
            self._before[number] = signal.signal(number, self._forward)

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def _forward(self, number: int, _: Any) -> None:
        self._process.send_signal(number)


def _wait(process: "subprocess.Popen[bytes]") -> int:
    # Ctrl-C reaches ferrun from the terminal as well, which stops its workers: Python waits for that.
    interrupted = False
    while True:
        try:
            status = process.wait()
            break
        except KeyboardInterrupt:
            interrupted = True
    if interrupted:
        raise KeyboardInterrupt
    return status


def _launch(arguments: List[str], variables: Dict[str, str]) -> None:
    with tempfile.TemporaryDirectory(prefix="ferrun-launch-") as folder:
        error_file = variables.setdefault("TORCHELASTIC_ERROR_FILE", os.path.join(folder, "error.json"))
        sys.stdout.flush()
        sys.stderr.flush()
        process = subprocess.Popen(
            [find_program(), *arguments], env=variables, preexec_fn=_parent_death_signal()
        )
        with _Forwarding(process):
            status = _wait(process)
        if status != 0:
            raise LaunchFailed(status if status > 0 else 128 - status, *_root_cause(error_file))


def main(args: Optional[Sequence[str]] = None) -> None:
    """Launches as the command line ``ferrun ARGS`` does; without ``args`` that of this process.

    Returns when all workers have ended well. Raises LaunchFailed when they have not, and FileNotFoundError where the
    native program is missing. Scripts run with this Python, unless PYTHON_EXEC names another.
    """
    _launch(list(sys.argv[1:] if args is None else args), environment())


def _options(config: Any) -> Iterator[str]:
    if config.min_nodes == config.max_nodes:
        yield f"--nnodes={config.max_nodes}"
    else:
        yield f"--nnodes={config.min_nodes}:{config.max_nodes}"
    yield f"--nproc-per-node={config.nproc_per_node}"
    yield f"--max-restarts={config.max_restarts}"
    yield f"--role={config.role}"
    if config.run_id:
        yield f"--rdzv-id={config.run_id}"
    if config.rdzv_endpoint:
        yield f"--rdzv-endpoint={config.rdzv_endpoint}"
        yield f"--rdzv-backend={config.rdzv_backend}"
    settings = dict(config.rdzv_configs)
    node_rank = settings.pop("rank", None)
    if node_rank is not None and config.rdzv_backend == "static":
        yield f"--node-rank={node_rank}"
    if settings:
        yield "--rdzv-conf=" + ",".join(f"{key}={value}" for key, value in settings.items())
    if config.local_addr:
        yield f"--local-addr={config.local_addr}"
    yield from getattr(config, "options", ())


def _log_options(config: Any) -> Iterator[str]:
    """What torch's LogsSpecs asks for, where its class gives one to see."""
    specs = getattr(config, "logs_specs", None)
    for name, option in (("_root_log_dir", "--log-dir"), ("_redirects", "--redirects"), ("_tee", "--tee")):
        value = getattr(specs, name, None)
        if value is None:
            continue
        if isinstance(value, dict):
            yield f"{option}=" + ",".join(f"{rank}:{int(std)}" for rank, std in value.items())
        elif isinstance(value, int):
            if int(value) != 0:
                yield f"{option}={int(value)}"
        else:
            yield f"{option}={value}"


def launch_agent(config: Any, entrypoint: Union[Callable[..., Any], str, None], args: Sequence[Any]) -> Dict[int, Any]:
    """Launches the workers of this node; the call form of torch.distributed.launcher.api.launch_agent.

    ``entrypoint`` is a program, with ``args`` as its arguments, or a function that every worker calls with ``args``:
    then they, the function's name and its results travel by pickle, and the function has to be importable or stand in
    the main script, whose start has to be guarded by ``if __name__ == "__main__"``, as for multiprocessing.

    Returns {rank: result} of this node's workers, {} for a program. Raises as main() does.
    """
    if entrypoint is None:
        raise ValueError("launch_agent: entrypoint is None: give a function or the path of a program")
    variables = environment()
    template = getattr(config, "log_line_prefix_template", None)
    if template:
        variables["TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE"] = template
    options = [*_options(config), *_log_options(config)]
    if isinstance(entrypoint, str):
        program = [entrypoint, *(str(argument) for argument in args)]
        _launch([*options, "--no-python", "--", *program], variables)
        return {}
    with tempfile.TemporaryDirectory(prefix="ferrun-call-") as folder:
        worker_call.write_call(folder, entrypoint, tuple(args))
        _launch([*options, "-m", "ferrun.worker_call", folder], variables)
        return worker_call.read_results(folder)


class elastic_launch:  # noqa: N801 - torch's name
    """``elastic_launch(config, entrypoint)(*args)``, as torch.distributed.launcher.api has it: see launch_agent()."""

    def __init__(self, config: Any, entrypoint: Union[Callable[..., Any], str, None]) -> None:
        self._config = config
        self._entrypoint = entrypoint

    def __call__(self, *args: Any) -> Dict[int, Any]:
        return launch_agent(self._config, self._entrypoint, args)
