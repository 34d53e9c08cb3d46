"""Jobs whose ranks are killed: what they come back with, how soon, and what the dead leave on the GPU."""

import os
import pathlib
import re
import signal
import statistics
import time

from gpu_check.machine import Unavailable, Wrong, kill, last_line, nvidia_smi, only_rank_below, rank_below


def python_ddp(machine):
    machine.need_device()
    script = pathlib.Path(__file__).resolve().parent / "peers" / "ddp.py"
    told = {}
    for name, more in (("left alone", []), ("killed", ["kill"])):
        said = machine.run(
            [machine.ferrun, f"--nproc-per-node={machine.ranks}", "--max-restarts=1", script, machine.device, *more])
        told[name] = re.findall(r"attempt (\d+) sum (\d+) weights (\S+)", said)
        if len(told[name]) != machine.ranks:
            raise Wrong(f"{len(told[name])} of {machine.ranks} ranks came to their end ({name})")
    if {attempt for attempt, _, _ in told["killed"]} != {"1"}:
        raise Wrong("the job that lost a rank ended in its first attempt")
    if {line[1:] for line in told["killed"]} != {line[1:] for line in told["left alone"]}:
        raise Wrong(f"weights after the restart {told['killed'][0][2]}, without one {told['left alone'][0][2]}")
    return f"{ranks_of(machine)}: a killed rank, a restart, and the same weights as without", {}


def ranks_of(machine):
    transport = "NCCL" if machine.on_gpu else "Gloo"
    return f"{machine.ranks} {'ranks' if machine.ranks > 1 else 'rank'} with {transport}"


def training(machine, output, faces, epochs, *more):
    size = 64 if machine.on_gpu else 32
    return [machine.worker, "--device", machine.device, "--data", faces, "--epochs", epochs, "--image-size", size,
            "--batch-size", 32 if machine.on_gpu else 16, "--patience", "0", "--output-dir", output, *more]


def wait_for(what, machine, process, log, look):
    """Until `look` answers; its answer."""
    while True:
        found = look()
        if found:
            return found
        if process.poll() is not None:
            raise Wrong(f"the job ended before {what}: {last_line(log)}")
        if machine.left() <= 0.2:
            raise Wrong(f"no {what} in the check's time: {last_line(log)}")
        time.sleep(0.002)


def written(path):
    """When the file was written last, in nanoseconds of the wall clock; 0: not yet."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def epochs_in(output):
    try:
        return len((output / "metrics.csv").read_text().splitlines()) - 1
    except OSError:
        return 0


def resume(machine):
    """A job that loses a rank in the middle of an epoch ends like one that does not."""
    machine.need_device()
    faces = machine.drawn_faces(40 if machine.on_gpu else 4)
    epochs = 6 if machine.on_gpu else 3
    launcher = [machine.ferrun, f"--nproc-per-node={machine.ranks}", "--max-restarts=1"]
    more = ["--save-every", "1", *(["--deterministic"] if machine.on_gpu else [])]
    alone, killed = machine.work / "left-alone", machine.work / "killed"
    machine.run([*launcher, *training(machine, alone, faces, epochs, *more)])
    log = machine.work / "killed.log"
    job = machine.start([*launcher, *training(machine, killed, faces, epochs, *more)], log)
    try:
        wait_for("first epoch", machine, job, log, lambda: epochs_in(killed) >= 1)
        saved = written(killed / "last_model.pt")
        wait_for("checkpoint within the epoch", machine, job, log, lambda: written(killed / "last_model.pt") > saved)
        victim = wait_for("rank", machine, job, log, lambda: rank_below(job.pid, machine.ranks - 1))
        os.kill(victim, signal.SIGKILL)
        wait_for("end", machine, job, log, lambda: job.poll() is not None)
    finally:
        kill(job)
    said = log.read_text(errors="replace")
    if job.returncode != 0 or "SIGKILL" not in said:
        raise Wrong(f"the job that lost a rank ended with {job.returncode}: {last_line(log)}")
    same = (alone / "metrics.csv").read_bytes() == (killed / "metrics.csv").read_bytes()
    [apart] = machine.peer("compare", alone / "last_model.pt", "-", killed / "last_model.pt")
    words = f"{ranks_of(machine)}, killed in epoch 2 of {epochs}: weights {apart['weights']:.1e} apart, "
    words += "metrics.csv the same bytes" if same else "metrics.csv not the same bytes"
    if not (same and apart["weights"] == 0):
        raise Wrong(words)
    return words, {"same_metrics": same, "apart": apart}


def memory_given_back(machine):
    """The GPU's memory after the SIGKILL of a process that computes on it."""
    machine.need_gpu()
    if not nvidia_smi("memory.used"):
        raise Unavailable("nvidia-smi does not tell the GPU's memory")
    before = float(nvidia_smi("memory.used"))
    output, log = machine.work / "memory", machine.work / "memory.log"
    job = machine.start(training(machine, output, machine.drawn_faces(40), 1000, "--save-every", "1"), log)
    try:
        wait_for("checkpoint", machine, job, log, lambda: written(output / "last_model.pt"))
        held = float(nvidia_smi("memory.used")) - before
        job.kill()
        begun = time.monotonic()
        while float(nvidia_smi("memory.used")) > before + 32:
            if time.monotonic() - begun > 10:
                left = float(nvidia_smi("memory.used")) - before
                raise Wrong(f"10 s after its SIGKILL {left:.0f} MiB are still held")
        seconds = time.monotonic() - begun
    finally:
        kill(job)
    return f"{held:.0f} MiB are free again {seconds:.1f} s after SIGKILL", {"held_mib": held, "seconds": seconds}


def restart_time(machine, name, launcher):
    """Seconds from the SIGKILL of the only rank to the checkpoint of its successor's first step."""
    output, log = machine.work / f"restart-{name}-{time.monotonic_ns()}", machine.work / "restart.log"
    faces = machine.drawn_faces(40 if machine.on_gpu else 4)
    job = machine.start([*launcher, *training(machine, output, faces, 1000, "--save-every", "1")], log)
    checkpoint = output / "last_model.pt"
    try:
        saved = wait_for("checkpoint", machine, job, log, lambda: written(checkpoint))
        wait_for("second checkpoint", machine, job, log, lambda: written(checkpoint) > saved)
        victim = wait_for("rank", machine, job, log, lambda: only_rank_below(job.pid, machine.worker))
        os.kill(victim, signal.SIGKILL)
        begun = time.time_ns()
        return wait_for("successor", machine, job, log, lambda: max(0, written(checkpoint) - begun)) / 1e9
    finally:
        kill(job)


def restart(machine):
    machine.need_device()
    launchers = {
        "ferrun": [machine.ferrun, "--nproc-per-node=1", "--max-restarts=1"],
        "ferrun, forkserver": [machine.ferrun, "--nproc-per-node=1", "--max-restarts=1", "--start-method=forkserver"],
        "torchrun": [machine.python, "-m", "torch.distributed.run", "--standalone", "--no-python",
                     "--nproc-per-node=1", "--max-restarts=1"],
    }
    times = {name: [] for name in launchers}
    for _ in range(3 if machine.on_gpu else 1):
        for name, launcher in launchers.items():
            times[name].append(restart_time(machine, name.replace(", ", "-"), launcher))
    medians = {name: statistics.median(measured) for name, measured in times.items()}
    words = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in medians.items())
    return f"SIGKILL to the successor's first step: {words}", {"seconds": times}
