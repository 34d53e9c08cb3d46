"""Speed: images per second of whole training, time to the first step, what a checkpoint costs."""

import re
import statistics
import subprocess
import threading
import time

from gpu_check.jobs import training, wait_for, written
from gpu_check.machine import Unavailable, Wrong, kill


class GpuLoad:
    """The first GPU's busy share and memory while the block runs, from nvidia-smi every 100 ms."""

    def __init__(self, machine):
        self.wanted = machine.on_gpu
        self.busy, self.memory = [], []

    def __enter__(self):
        self.process = None
        if self.wanted:
            query = ["nvidia-smi", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits"]
            self.process = subprocess.Popen([*query, "-i", "0", "-lms", "100"], stdout=subprocess.PIPE,
                                            stderr=subprocess.DEVNULL, text=True)
            self.thread = threading.Thread(target=self.read)
            self.thread.start()
        return self

    def read(self):
        for line in self.process.stdout:
            values = re.findall(r"\d+", line)
            if len(values) == 2:
                self.busy.append(int(values[0]))
                self.memory.append(int(values[1]))

    def __exit__(self, *_):
        if self.process:
            self.process.terminate()
            self.process.wait()
            self.thread.join()

    def figures(self, seconds):
        """The busy share of the busiest stretch of `seconds`, the last epoch's training, in the second half: the first
        has the start and the choice of algorithms. Reading files and waiting for them lies within it."""
        half = self.busy[len(self.busy) // 2:]
        count = min(len(half), max(1, round(10 * seconds)))
        stretches = [statistics.mean(half[i:i + count]) for i in range(len(half) - count + 1)] if half else []
        return {"busy_percent": max(stretches, default=None), "memory_mib": max(self.memory, default=None)}


def rate(machine, command, pictures):
    """Images per second of the last epoch's training, which sees `pictures`, and the GPU's load."""
    with GpuLoad(machine) as load:
        said = machine.run(command)
    rates = re.findall(r"val loss.*?([0-9.]+) images/s", said)
    if not rates:
        raise Wrong(f"{command[0]} tells no images/s")
    found = float(rates[-1])
    return {"images_per_second": found, **load.figures(pictures / max(found, 1e-9))}


def trainers(machine, faces, size, batch, precision, turn):
    threads = max(1, min(16, machine.facts["cores"]))
    common = ["--device", machine.device, "--data", faces, "--epochs", "2"]
    common += ["--image-size", size, "--batch-size", batch]
    python = [machine.python, machine.root / "bench" / "peer_trainer.py", *common, "--amp", precision]
    tuned = [*python, "--tuned", "--num-workers", threads]
    # Python's convolutions have TF32 by default.
    tf32 = ["--tf32"] if precision == "off" and machine.on_gpu else []
    commands = {
        "worker": [machine.worker, *common, "--amp", precision, *tf32, "--num-workers", threads, "--output-dir",
                   machine.work / f"speed-{size}-{batch}-{precision}-{turn}"],
        "Python plain": python,
        "Python tuned": tuned,
    }
    if machine.on_gpu:
        commands["Python compiled"] = [*tuned, "--compile"]
        # As Python does in every epoch; the worker's own default keeps what it has decoded.
        commands["worker, files"] = [*commands["worker"], "--cache", 0]
    return commands


def speed(machine):
    """As many interleaved turns as the time allows; on a GPU the worker has to reach what it is made for."""
    machine.need_device()
    if machine.on_gpu:
        faces = machine.drawn_faces(600)
        cases = [(224, 128, "bf16"), (224, 128, "off"), (224, 512, "bf16"), (224, 128, "fp16")]
    else:
        faces, cases = machine.drawn_faces(10), [(32, 16, "off")]
    pictures = sum(1 for _ in (faces / "train").glob("*/*"))
    runs, longest = {}, 0.0
    for turn in range(3 if machine.on_gpu else 1):
        for case in cases:
            for name, command in trainers(machine, faces, *case, turn).items():
                if runs.get(cases[0], {}).get("worker") and machine.left() < 1.5 * longest:
                    continue
                begun = time.monotonic()
                runs.setdefault(case, {}).setdefault(name, []).append(rate(machine, command, pictures))
                longest = max(longest, time.monotonic() - begun)
    table = [row for case, measured in runs.items() for row in rows(case, measured)]
    figures = [dict(zip(("size", "batch", "precision"), case), trainers=measured) for case, measured in runs.items()]
    return verdict(machine, cases[0], runs[cases[0]]), {"runs": figures, "table": table}


def median(runs):
    return statistics.median(run["images_per_second"] for run in runs)


def rows(case, measured):
    size, batch, precision = case
    for name, runs in measured.items():
        row = f"{size}² batch {batch:4} {precision:4}  {name:16}{median(runs):9.1f} images/s of {len(runs)}"
        busy = [run["busy_percent"] for run in runs if run["busy_percent"] is not None]
        if busy:
            row += f"   GPU busy {statistics.median(busy):3.0f} %   memory {max(run['memory_mib'] for run in runs)} MiB"
        yield row


def verdict(machine, case, measured):
    plain, compiled = measured.get("Python plain"), measured.get("Python compiled")
    if not plain:
        raise Unavailable("the time was over before Python had its turn")
    ratio = median(measured["worker"]) / median(plain)
    words = f"whole training {ratio:.2f} times Python plain"
    if compiled:
        words += f", {median(measured['worker']) / median(compiled):.2f} times Python compiled"
    words += f" ({case[0]}², batch {case[1]}, {case[2]})"
    busy = {name: [run["busy_percent"] for run in measured.get(name, []) if run["busy_percent"] is not None]
            for name in ("worker", "worker, files")}
    words += "".join(f"; GPU busy {statistics.median(shares):.0f} % {where}" for shares, where in
                     ((busy["worker"], "from decoded pictures"), (busy["worker, files"], "from files")) if shares)
    if not machine.on_gpu:
        return words
    if ratio < 2 or (compiled and median(measured["worker"]) < median(compiled)):
        raise Wrong(words + "; wanted: 2 times plain, and no less than compiled")
    return words


def checkpoint_stall(machine):
    """What a checkpoint adds to a step: two runs that differ in --save-every alone."""
    machine.need_device()
    faces = machine.drawn_faces(40 if machine.on_gpu else 4)
    batch = 32 if machine.on_gpu else 16
    steps = -(-sum(1 for _ in (faces / "train").glob("*/*")) // batch)
    stalls, longest = [], 0.0
    for turn in range(3 if machine.on_gpu else 1):
        if stalls and machine.left() < 1.5 * longest:
            break
        begun, seconds = time.monotonic(), {}
        for name, more in (("without", []), ("with", ["--save-every", "1"])):
            said = machine.run(training(machine, machine.work / f"stall-{name}-{turn}", faces, 3, *more))
            # The last epoch alone: the first chooses algorithms.
            seconds[name] = steps * batch / float(re.findall(r"([0-9.]+) images/s +[0-9.]+ s", said)[-1])
        stalls.append(1000 * (seconds["with"] - seconds["without"]) / steps)
        longest = max(longest, time.monotonic() - begun)
    middle = statistics.median(stalls)
    return f"{middle:.0f} ms a checkpoint, of {len(stalls)}", {"milliseconds": middle, "turns": stalls}


def first_step(machine):
    """Seconds from a process's start to its first finished step, with files in memory."""
    machine.need_device()
    faces = machine.drawn_faces(40 if machine.on_gpu else 4)
    times = {"worker": [], "Python": []}
    for turn in range(4 if machine.on_gpu else 2):
        worker, python = first_of_worker(machine, faces, turn), first_of_python(machine, faces)
        if turn > 0:
            times["worker"].append(worker)
            times["Python"].append(python)
    ours, theirs = (statistics.median(times[name]) for name in ("worker", "Python"))
    return f"worker {ours:.2f} s, Python {theirs:.2f} s", {"seconds": times}


def first_of_worker(machine, faces, turn):
    """Its first step is seen by the checkpoint that follows it, which counts."""
    output, log = machine.work / f"first-{turn}", machine.work / "first.log"
    begun = time.time_ns()
    job = machine.start(training(machine, output, faces, 1, "--save-every", "1"), log)
    try:
        return (wait_for("step", machine, job, log, lambda: written(output / "last_model.pt")) - begun) / 1e9
    finally:
        kill(job)


def first_of_python(machine, faces):
    log = machine.work / "first.log"
    size, batch = (64, 32) if machine.on_gpu else (32, 16)
    command = [machine.python, "-u", machine.root / "bench" / "peer_trainer.py", "--device", machine.device, "--data",
               faces, "--image-size", size, "--batch-size", batch, "--tuned", "--tell-steps"]
    begun = time.monotonic()
    job = machine.start(command, log)
    try:
        wait_for("step", machine, job, log, lambda: b"step 1 done" in log.read_bytes())
        return time.monotonic() - begun
    finally:
        kill(job)
