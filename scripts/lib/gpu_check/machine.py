"""What the checks run on: programs, Python, device, a folder of their own, and the processes that they start."""

import json
import os
import pathlib
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time


class Unavailable(Exception):
    """A check is not possible here; the words say why."""


class Wrong(Exception):
    """A check has failed; the words have the numbers."""


def default_bin(root):
    packed = root / "bin"
    return packed if packed.is_dir() else root / "build" / "release" / "bin"


def default_python():
    """FERRUN_PEER_PYTHON, else the one that scripts/setup --with-peer has installed, else the python3 of the PATH."""
    cache = os.environ.get("FERRUN_CACHE")
    if not cache:
        cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ferrun")
    installed = pathlib.Path(cache) / "peer-2.11.0" / "bin" / "python"
    named = os.environ.get("FERRUN_PEER_PYTHON")
    return pathlib.Path(named) if named else installed if installed.exists() else pathlib.Path(sys.executable)


ASK_PYTHON = """
import json, os, torch, torchvision
gpus = torch.cuda.device_count()
print(json.dumps({"torch": torch.__version__, "torchvision": torchvision.__version__, "gpus": gpus,
  "gpu": torch.cuda.get_device_name(0) if gpus else "", "bf16": bool(gpus) and torch.cuda.is_bf16_supported(),
  "lib": os.path.join(os.path.dirname(torch.__file__), "lib")}))
"""


class Machine:
    """Owns a temporary folder, `work`, from __enter__ to __exit__."""

    def __init__(self, root, options):
        self.root = root
        self.bin = options.bin.resolve()
        self.python = options.python
        self.device = options.device
        self.real_faces = options.faces or (root / "faces" if (root / "faces").is_dir() else None)
        self.packed = (root / "bin").is_dir()
        self.deadline = None  # of the check that runs, on the monotonic clock
        self.environment = dict(os.environ, PYTHONWARNINGS="ignore", PYTHON_EXEC=str(self.python))
        if not self.on_gpu:
            self.environment["OMP_NUM_THREADS"] = "1"  # threads wait for each other where others compute too
        self.facts = {}

    def __enter__(self):
        for program in ("ferrun", "worker"):
            if not os.access(self.bin / program, os.X_OK):
                raise OSError(f"no program {self.bin / program}: build ferrun, or name the folder with --bin")
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="gpu-check."))
        try:
            self.facts = self.look()
            if self.packed:
                # Of LibTorch there is none in a pack: the worker takes Python's, which is of the same version.
                self.environment["LD_LIBRARY_PATH"] = self.facts["lib"]
                if (self.root / "fonts" / "fonts.conf").exists():
                    self.environment["FONTCONFIG_FILE"] = str(self.root / "fonts" / "fonts.conf")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.work, ignore_errors=True)

    def look(self):
        self.allow(120)
        try:
            asked = self.run([self.python, "-c", ASK_PYTHON])
        except Wrong as wrong:
            raise OSError(f"{self.python} has no torch and torchvision (--python names another one): {wrong}") from None
        facts = json.loads(asked.splitlines()[-1])
        if not facts["torch"].startswith("2.11."):
            raise OSError(f"{self.python} has torch {facts['torch']}, and 2.11 is needed (--python names another one)")
        facts.update(device=self.device, cores=len(os.sched_getaffinity(0)), system=platform.platform())
        facts["driver"] = nvidia_smi("driver_version")
        facts["date"] = time.strftime("%Y-%m-%d")
        return facts

    @property
    def on_gpu(self):
        return self.device == "cuda"

    @property
    def ranks(self):
        """Of a job: two, where each can have a device."""
        return min(2, self.facts["gpus"]) if self.on_gpu else 2

    @property
    def ferrun(self):
        return self.bin / "ferrun"

    @property
    def worker(self):
        return self.bin / "worker"

    def need_gpu(self):
        if not self.on_gpu:
            raise Unavailable("needs a GPU")
        if self.facts["gpus"] == 0:
            raise Unavailable("Python's torch sees no GPU")
        if not (self.bin / "libferrun_cuda.so").exists():
            raise Unavailable("the worker has no CUDA plug-in")

    def need_device(self):
        if self.on_gpu:
            self.need_gpu()

    def allow(self, seconds):
        self.deadline = time.monotonic() + seconds

    def left(self):
        return max(0.1, self.deadline - time.monotonic())

    def start(self, command, log, environment=None):
        """A process in a session of its own, which kill() ends with all that it has started there."""
        with open(log, "wb") as output:
            return subprocess.Popen(
                [str(word) for word in command],
                env=dict(self.environment, **(environment or {})),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run(self, command, environment=None, status=0):
        """What the command has said; Wrong when it does not end in time or not with `status` (None: any)."""
        log = self.work / "log"
        process = self.start(command, log, environment)
        try:
            process.wait(self.left())
        except subprocess.TimeoutExpired:
            kill(process)
            raise Wrong(f"{name_of(command)} did not end in its time; it said last: {last_line(log)}") from None
        except BaseException:
            kill(process)
            raise
        if status is not None and process.returncode != status:
            raise Wrong(f"{name_of(command)} ended with {process.returncode}: {last_line(log)}")
        return log.read_text(errors="replace")

    def peer(self, *words, environment=None):
        """A JSON answer of peers/trainer.py, which runs in the Python that has torch."""
        script = pathlib.Path(__file__).resolve().parent / "peers" / "trainer.py"
        environment = dict(environment or {}, GPU_CHECK_ROOT=str(self.root))
        said = self.run([self.python, script, *words], environment=environment)
        return json.loads(said.splitlines()[-1])

    def drawn_faces(self, per_class):
        """A folder of pictures that the worker has drawn, made once."""
        folder = self.work / f"faces-{per_class}"
        if not folder.exists():
            self.run([self.worker, "make-data", folder, "--image-size", "48", "--faces", per_class])
        return folder


def name_of(command):
    return pathlib.Path(str(command[0])).name + (f" {pathlib.Path(str(command[1])).name}" if len(command) > 1 else "")


def last_line(log):
    lines = [line for line in pathlib.Path(log).read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "nothing"


def kill(process):
    """SIGTERM, which ferrun and torchrun pass on to their workers; then SIGKILL."""
    for number, patience in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        if process.poll() is not None:
            return
        try:
            os.killpg(process.pid, number)
            process.wait(patience)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass


def below(pid):
    """The processes below `pid`."""
    try:
        tasks = list(pathlib.Path(f"/proc/{pid}/task").iterdir())
        for task in tasks:
            for child in (task / "children").read_text().split():
                yield int(child)
                yield from below(int(child))
    except OSError:
        return


def rank_below(launcher, rank):
    """The pid of the worker with this rank that the launcher has started itself; None when there is none."""
    for pid in below(launcher):
        try:
            if f"RANK={rank}".encode() in pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                return pid
        except OSError:
            pass
    return None


def only_rank_below(launcher, program):
    """The pid of the only rank; None when there is none. One that was forked has its template's environment in /proc,
    and the template for a parent: the rank is the process of `program` below which no other is."""
    found = None
    for pid in below(launcher):
        try:
            if os.path.samefile(f"/proc/{pid}/exe", program):
                found = pid  # a parent comes before its children
        except OSError:
            pass
    return found


def nvidia_smi(query):
    """The first GPU's answer; empty without the program or a GPU."""
    try:
        said = subprocess.run(
            ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader,nounits", "-i", "0"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return said.stdout.strip() if said.returncode == 0 else ""
