#!/usr/bin/env python3
"""Compares ddp::DataLoader with torch.utils.data.DataLoader: items a second with the same work, in turns.

    bench/loader_bench.py BUILD/bin PYTHON [--rounds 5] [--seconds 2] [--workers 0 2]

PYTHON is an interpreter with torch and torchvision (scripts/setup installs one). `tensors`: 20,000 samples of 16 floats
and a number, which cost next to nothing to make. `pictures`: 512 JPEG files of 256 x 256, read and decoded by
libjpeg-turbo on both sides (torchvision.io there). `training`: the same made ready for a network: shorter side to 232, a
random crop of 224, a flip, float32, normalised (torchvision.transforms.v2 there, worker/data/transforms.h here). Batches of 64
in random order; workers are threads here and processes that persist there. Prints medians, and the ratios to Python's.
"""

import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
MAKE_PICTURES = """
import sys, torch
from torchvision.io import write_jpeg
torch.manual_seed(1)
for number in range(512):
    small = torch.rand(1, 3, 24, 24)
    picture = torch.nn.functional.interpolate(small, size=(256, 256), mode="bicubic").clamp(0, 1)[0] * 255
    write_jpeg((picture + torch.randn(3, 256, 256) * 4).clamp(0, 255).byte(), f"{sys.argv[1]}/{number:03}.jpg", 90)
"""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=pathlib.Path, help="the folder with loader_items")
    parser.add_argument("python", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    return parser.parse_args()


def items_per_second(options, side, kind, workers, folder):
    program = [options.bin / "loader_items"] if side == "C++" else [options.python, HERE / "loader_items.py"]
    command = [*program, kind, str(workers), str(options.seconds), folder]
    ran = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False)
    found = re.search(r"items_per_second ([0-9.]+)", ran.stdout)
    if not found:
        sys.exit(f"{command} gave no number:\n{ran.stdout}{ran.stderr}")
    return float(found.group(1))


def main():
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([options.python, "-c", MAKE_PICTURES, folder], check=True)
        for kind in ("tensors", "pictures", "training"):
            for workers in options.workers:
                rates = {"C++": [], "Python": []}
                for _ in range(options.rounds):
                    for side, values in rates.items():
                        values.append(items_per_second(options, side, kind, workers, folder))
                ours, theirs = (statistics.median(values) for values in rates.values())
                spread = ", ".join(f"{side} {min(values):,.0f} to {max(values):,.0f}" for side, values in rates.items())
                print(f"{kind:8} {workers} workers: {ours:10,.0f} items a second, Python's {theirs:10,.0f}: "
                      f"{ours / theirs:.1f} times ({spread})", flush=True)


if __name__ == "__main__":
    main()
