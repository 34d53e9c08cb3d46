#!/usr/bin/env python3
"""Compares a step of ferrun::ddp's DistributedDataParallel with one of Python's: two ranks with one thread each, Gloo.

    bench/ddp_bench.py BUILD/bin PYTHON [--rounds 5]

PYTHON is an interpreter with torch (scripts/setup installs one). The sides take turns. A step drops the gradients, runs
forward and backward, and takes SGD's step; `plain` is the same without DDP, `flat` with one all-reduce of all gradients
after the backward pass. What DDP adds to a plain step is its overhead. Prints medians, and the ratios to Python's.
"""

import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
MODELS = {"small": ("500 parameters, 144 kB", 100), "large": ("12 parameters, 100 MB", 8)}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=pathlib.Path, help="the folder with ferrun and ddp_step")
    parser.add_argument("python", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def step_ms(options, side, size, mode):
    program = [options.bin / "ddp_step"] if side == "C++" else [options.python, HERE / "ddp_step.py"]
    command = [options.bin / "ferrun", "--nproc-per-node=2", *program, size, mode, str(MODELS[size][1])]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    found = re.search(r"step_ms ([0-9.]+)", ran.stdout)
    if not found:
        sys.exit(f"{command} gave no time:\n{ran.stdout}{ran.stderr}")
    return float(found.group(1))


def main():
    options = arguments()
    for size, (what, _) in MODELS.items():
        cases = [(side, mode) for side in ("C++", "Python") for mode in ("plain", "ddp")] + [("C++", "flat")]
        times = {case: [] for case in cases}
        for _ in range(options.rounds):
            for side, mode in cases:
                times[side, mode].append(step_ms(options, side, size, mode))
        ms = {case: statistics.median(values) for case, values in times.items()}
        print(f"{size}: {what}")
        for (side, mode), value in ms.items():
            spread = f"{min(times[side, mode]):.2f} to {max(times[side, mode]):.2f}"
            print(f"  {side:6} {mode:5} {value:8.2f} ms a step ({spread})")
        overhead = {side: ms[side, "ddp"] - ms[side, "plain"] for side in ("C++", "Python")}
        print(f"  step: {ms['Python', 'ddp'] / ms['C++', 'ddp']:.2f} times as fast as Python's")
        print(f"  what DDP adds: {overhead['C++']:.2f} ms, Python's {overhead['Python']:.2f} ms")
        print(f"  against one all-reduce at the end: {ms['C++', 'flat'] / ms['C++', 'ddp']:.2f} times as fast")


if __name__ == "__main__":
    main()
