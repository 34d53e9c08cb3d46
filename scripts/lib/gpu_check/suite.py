"""The checks, their shares of the time, and how they are run."""

import time
from dataclasses import dataclass, field

from gpu_check import jobs, learning, numerics, programs, rates, steps
from gpu_check.machine import Unavailable, Wrong


@dataclass
class Check:
    name: str
    seconds: int  # at most, for the check alone
    run: object  # takes the machine, returns (words, figures); raises Wrong or Unavailable


# The dearest come last: what they find out is least, and what time is left is theirs.
CHECKS = [
    Check("programs", 30, programs.start),
    Check("plug-in", 30, programs.plug_in),
    Check("device-words", 60, programs.device_words),
    Check("doctor", 30, programs.doctor),
    Check("logits", 60, numerics.logits),
    Check("adam-fp32", 90, numerics.adam_fp32),
    Check("amp-bf16", 60, numerics.amp_bf16),
    Check("amp-fp16", 60, numerics.amp_fp16),
    Check("cuda-graph", 60, numerics.cuda_graph),
    Check("reducer", 60, numerics.reducer),
    Check("waits", 40, numerics.waits),
    Check("python-ddp", 60, jobs.python_ddp),
    Check("resume", 90, jobs.resume),
    Check("memory", 30, jobs.memory_given_back),
    Check("restart", 90, jobs.restart),
    Check("first-step", 60, rates.first_step),
    Check("checkpoint-stall", 40, rates.checkpoint_stall),
    Check("step-speed", 75, steps.step_speed),
    Check("learning", 100, learning.accuracy),
    Check("real-faces", 100, learning.real_faces),
    Check("speed", 180, rates.speed),
]


@dataclass
class Result:
    name: str
    verdict: str  # passed, failed, impossible
    words: str
    seconds: float
    figures: dict = field(default_factory=dict)


def choose(names):
    """The checks with these comma-separated names, in their own order; all for none."""
    wanted = [name for name in names.split(",") if name]
    unknown = [name for name in wanted if name not in [check.name for check in CHECKS]]
    if unknown:
        raise ValueError(f"--only: there is no check {unknown[0]}")
    return [check for check in CHECKS if not wanted or check.name in wanted]


def run_one(machine, check, seconds):
    begun = time.monotonic()
    # On the CPU the sizes are small, and the time is a guard against hanging alone.
    machine.allow(min(check.seconds if machine.on_gpu else 3 * check.seconds, seconds))
    figures = {}
    try:
        words, figures = check.run(machine)
        verdict = "passed"
    except Unavailable as reason:
        words, verdict = str(reason), "impossible"
    except Wrong as wrong:
        words, verdict = str(wrong), "failed"
    except Exception as error:  # a fault of the check itself must not cost the checks after it
        words, verdict = f"the check itself failed: {type(error).__name__}: {error}", "failed"
    return Result(check.name, verdict, words, time.monotonic() - begun, figures)


def run_all(machine, checks, seconds, tell):
    """Every check's result; `tell` is given each as it comes."""
    end = time.monotonic() + seconds
    results = []
    for check in checks:
        left = end - time.monotonic()
        if left < 5:
            result = Result(check.name, "impossible", f"the {seconds / 60:g} minutes were over (--minutes)", 0.0)
        else:
            result = run_one(machine, check, left)
        results.append(result)
        tell(result)
    return results
