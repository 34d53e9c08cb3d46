"""Speed of the training step alone, with pictures that are on the device already: the worker's against Python's."""

import os
import select
import statistics
import subprocess

from gpu_check.machine import Unavailable, Wrong, kill, last_line

PYTHON = ("plain", "tuned", "compiled")


class Side:
    """A process that waits with its steps until it is asked, see bench/step_rounds.cc."""

    def __init__(self, machine, name, command):
        self.machine, self.name, self.rates = machine, name, []
        self.log = machine.work / f"step-{name.replace(' ', '-').replace(',', '')}.log"
        with open(self.log, "wb") as errors:
            self.process = subprocess.Popen(
                [str(word) for word in command], env=dict(machine.environment, GPU_CHECK_ROOT=str(machine.root)),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, start_new_session=True)

    def line(self):
        """Its next line; Wrong when it ends, or does not speak within the check's time."""
        said = b""
        while not said.endswith(b"\n"):
            if not select.select([self.process.stdout], [], [], self.machine.left())[0]:
                raise Wrong(f"{self.name} did not come to its next line in the check's time")
            part = os.read(self.process.stdout.fileno(), 4096)
            if not part:
                raise Wrong(f"{self.name} ended: {last_line(self.log)}")
            said += part
        return said.decode().strip()

    def round(self, pictures):
        try:
            self.process.stdin.write(b"go\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # line() says why
        self.rates.append(pictures / float(self.line()))

    def end(self):
        kill(self.process)
        self.process.stdin.close()
        self.process.stdout.close()


def commands(machine, size, batch, precision, steps):
    ours = [machine.bin / "step_rounds", f"--device={machine.device}", f"--size={size}", f"--batch={batch}",
            f"--precision={precision}", f"--steps={steps}"]
    peer = machine.root / "scripts" / "lib" / "gpu_check" / "peers" / "step.py"
    chosen = {"worker": ours}
    if machine.on_gpu:
        chosen["worker, graph"] = [*ours, "--graph"]
    for kind in PYTHON if machine.on_gpu else PYTHON[:2]:
        chosen[f"Python {kind}"] = [machine.python, peer, machine.device, size, batch, precision, kind, steps]
    return chosen


def measure(machine, case, steps, rounds, needs):
    """Interleaved rounds of all that start, {name: images per second of each}; and why the others do not, {name: why}.
    `needs`: the seconds that one of them takes to start, as far as it is known."""
    sides, missing = [], {}
    try:
        for name, command in commands(machine, *case, steps).items():
            if machine.left() < needs.get(name, 0):
                missing[name] = "no time left"
                continue
            before = machine.left()
            side = Side(machine, name, command)
            sides.append(side)
            try:
                if side.line() != "ready":
                    raise Wrong(f"{name} is not ready")
            except Wrong as wrong:
                missing[name] = str(wrong)
                sides.remove(side)
                side.end()
            needs[name] = 1.5 * (before - machine.left())
        for _ in range(rounds):
            for side in sides:
                if machine.left() > 2 or not side.rates:
                    side.round(case[1] * steps)
    finally:
        for side in sides:
            side.end()
    return {side.name: side.rates for side in sides}, missing


def rows(case, measured, missing):
    size, batch, precision = case
    head = f"{size}² batch {batch:4} {precision:4}"
    for name, rates in measured.items():
        yield f"{head}  {name:16}{statistics.median(rates):9.1f} images/s of {len(rates)}"
    for name, why in missing.items():
        yield f"{head}  {name:16}{why}"


def step_speed(machine):
    """Case by case, as the time allows; judges nothing but that the worker's step runs."""
    machine.need_device()
    if not os.access(machine.bin / "step_rounds", os.X_OK):
        raise Unavailable("no program step_rounds: this build has no benchmarks (FERRUN_BUILD_BENCH)")
    # Python's convolutions have TF32 by default, so that this is its single precision.
    cases = [(224, 128, "bf16"), (224, 128, "tf32"), (224, 128, "fp16"), (224, 512, "bf16"), (224, 512, "tf32"),
             (224, 512, "fp16"), (224, 128, "fp32")] if machine.on_gpu else [(32, 16, "fp32")]
    if machine.on_gpu and not machine.facts["bf16"]:
        cases = [case for case in cases if case[2] != "bf16"]
    table, figures, needs = [], [], {}
    for case in cases:
        if figures and machine.left() < sum(needs.get(name, 0) for name in ("worker", "worker, graph", "Python plain")):
            table.append(f"{case[0]}² batch {case[1]:4} {case[2]:4}  no time left")
            continue
        measured, missing = measure(machine, case, 20 if machine.on_gpu else 2, 3, needs)
        if "worker" in missing:
            raise Wrong(missing["worker"])
        table += rows(case, measured, missing)
        figures.append({"size": case[0], "batch": case[1], "precision": case[2], "images_per_second": measured,
                        "missing": missing})
    return words(figures[0]), {"runs": figures, "table": table}


def words(run):
    medians = {name: statistics.median(rates) for name, rates in run["images_per_second"].items()}
    ours = max(rate for name, rate in medians.items() if name.startswith("worker"))
    ratios = [f"{ours / rate:.2f} times {name}" for name, rate in medians.items() if name.startswith("Python")]
    if not ratios:
        raise Unavailable("Python's step did not come to its turn: " + "; ".join(run["missing"].values()))
    return f"the step alone {', '.join(ratios)} ({run['size']}², batch {run['batch']}, {run['precision']})"
