"""What a script sees of itself and of its process, as JSON in VIEW_FILE.RANK: the same, however it was started."""
import atexit
import ctypes
import gc
import inspect
import json
import logging
import multiprocessing
import os
import random
import resource
import signal
import sys
import threading
import time

# Of one launch.
VOLATILE = ("MASTER_PORT", "FERRUN_LAUNCH_ID", "FERRUN_LAUNCH_DIR", "TORCHELASTIC_ERROR_FILE", "VIEW_FILE")


def stream(file):
    raw = getattr(file.buffer, "raw", file.buffer)
    return [
        file.name, file.mode, file.encoding, file.errors, file.line_buffering, file.write_through,
        type(file.buffer).__name__, raw.name, raw.mode, raw.closefd, file.fileno(), file.isatty(), file.seekable(),
        file.newlines
    ]


def status():
    with open("/proc/self/status") as file:
        fields = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    names = ("Name", "Umask", "Threads", "SigPnd", "SigBlk", "SigIgn", "SigCgt", "Cpus_allowed_list", "Seccomp")
    return {name: fields.get(name) for name in names}


def libc_environment():
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_char_p
    return {name: (libc.getenv(name.encode()) or b"").decode() for name in os.environ}


def descriptors():
    kinds = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink("/proc/self/fd/" + number)
        except OSError:
            continue
        if target != "/proc/%d/fd" % os.getpid():
            kinds[number] = target.partition(":")[0] if ":" in target else "file"
    return kinds


def death_signal():
    number = ctypes.c_int()
    ctypes.CDLL(None).prctl(2, ctypes.byref(number))
    return number.value


def spawned(queue):
    queue.put([__name__, sys.argv, sys.path, os.environ.get("RANK"), multiprocessing.current_process().name])


def spawn_a_child():
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    child = context.Process(target=spawned, args=(queue, ))
    child.start()
    seen = queue.get()
    child.join()
    return [seen, child.exitcode]


def main_module():
    main = sys.modules["__main__"]
    loader = main.__loader__
    return {
        "names": sorted(vars(main)),
        "file": getattr(main, "__file__", None),
        "cached": getattr(main, "__cached__", None),
        "spec": getattr(main.__spec__, "name", None),
        "package": main.__package__,
        "doc": main.__doc__,
        "loader": getattr(loader, "__name__", type(loader).__name__),
        "builtins": type(main.__builtins__).__name__,
    }


def name_of(what):
    return str(getattr(what, "__name__", None) or getattr(what, "__qualname__", None) or type(what).__name__)


def interpreter():
    return {
        "argv": sys.argv,
        "orig_argv": getattr(sys, "orig_argv", None),
        "path": sys.path,
        "flags": str(sys.flags),
        "options": [sys.warnoptions, sys._xoptions],
        "executable": [sys.executable, sys.prefix, sys.exec_prefix, sys.base_prefix],
        "meta_path": [name_of(finder) for finder in sys.meta_path],
        "path_hooks": [name_of(hook) for hook in sys.path_hooks],
        "path_cache": sorted(path for path in sys.path_importer_cache if path.startswith("/proc")),
        "customized": sorted(name for name in sys.modules if name.endswith("customize")),
        "main": main_module(),
        "frames": [os.path.basename(frame.filename) for frame in inspect.stack()],
        "stdin": [sys.stdin.name, sys.stdin.mode, sys.stdin.encoding, type(sys.stdin.buffer).__name__],
        "stdout": stream(sys.stdout),
        "stderr": stream(sys.stderr),
        "originals": [sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__],
        "hooks": [sys.excepthook is sys.__excepthook__, sys.displayhook is sys.__displayhook__, sys.gettrace()],
        "handlers": {int(number): name_of(signal.getsignal(number)) for number in signal.valid_signals()},
        "limits": [sys.getrecursionlimit(), sys.getswitchinterval()],
        "gc": [gc.isenabled(), gc.get_threshold(), gc.get_debug(), len(gc.callbacks)],
        "hash": hash("a word") if os.environ.get("PYTHONHASHSEED") else None,
        "clock": [time.time() - logging._startTime < 30, time.process_time() < 60],
        "logging": [str(logging.root.handlers), logging.root.level],
        "threads": [
            threading.active_count(), threading.main_thread().native_id == os.getpid(),
            threading.main_thread().ident == threading.get_ident(), threading.current_thread().name
        ],
        "multiprocessing": [
            multiprocessing.current_process().name, multiprocessing.parent_process(),
            multiprocessing.current_process().pid == os.getpid(), multiprocessing.get_start_method(True)
        ],
    }


def memory_policies():
    """Of all this process's memory: one alone."""
    try:
        with open("/proc/self/numa_maps") as file:
            return sorted({line.split()[1] for line in file})
    except OSError:
        return None


def process():
    return {
        "environ": {name: value for name, value in os.environ.items() if name not in VOLATILE},
        "c_environ": libc_environment() == dict(os.environ),
        "session": [os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()],
        "death_signal": death_signal(),
        "parent": os.readlink("/proc/%d/exe" % os.getppid()).rpartition("/")[2],
        "command_line": open("/proc/self/cmdline").read().split("\0"),
        "exe": os.readlink("/proc/self/exe"),
        "cwd": os.getcwd(),
        "status": status(),
        "affinity": sorted(os.sched_getaffinity(0)),
        "memory": memory_policies(),
        "resources": [resource.getrlimit(limit) for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE)],
        "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    }


def torch_state():
    torch = sys.modules["torch"]
    return [
        torch.get_num_threads(), torch.get_num_interop_threads(), str(torch.get_default_dtype()),
        torch.cuda.is_initialized(), torch.__file__
    ]


def draws():
    """Differ between any two processes, however they were started."""
    found = {"random": random.random(), "authkey": bytes(multiprocessing.current_process().authkey).hex()}
    if "numpy" in sys.modules:
        found["numpy"] = float(sys.modules["numpy"].random.rand())
    if "torch" in sys.modules:
        found["torch"] = float(sys.modules["torch"].rand(1))
    return found


if __name__ == "__main__":
    if os.environ.get("VIEW_IMPORT"):
        __import__(os.environ["VIEW_IMPORT"])
    seen = {"descriptors": descriptors(), **interpreter(), **process()}
    if "torch" in sys.modules:
        seen["torch"] = torch_state()
    if __spec__ is None or not __spec__.name.endswith("__main__"):  # multiprocessing cannot spawn from there
        seen["spawned"] = spawn_a_child()
    with open("%s.%s" % (os.environ["VIEW_FILE"], os.environ.get("RANK", "0")), "w") as file:
        json.dump({"view": seen, "draws": draws()}, file, default=str)
    atexit.register(sys.stdout.write, "at exit\n")
    sys.stdout.write("out\n")
    sys.stderr.write("err\n")
