#!/usr/bin/env python3
"""Compares the worker with the Python trainer: speed and memory of a training rank, two ranks with one thread each.

    bench/train_bench.py BUILD/bin PYTHON [--rounds 5] [--image-size 224]

PYTHON is an interpreter with torch and torchvision (scripts/setup installs one). Both train on the same drawn faces of
48 x 48, read from JPEG files. The trainers take turns; each trains two epochs, of which the second counts. Prints medians,
and the ratios to Python's.
"""

import argparse
import os
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
RANKS = 2


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=pathlib.Path, help="the folder with ferrun and worker")
    parser.add_argument("python", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=128, help="of the job")
    parser.add_argument("--faces", type=int, default=100, help="training pictures per class")
    parser.add_argument("--amp", action="store_true", help="bf16 autocast on both sides")
    return parser.parse_args()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def run_ranks(command):
    """Runs one process for each rank; their outputs, and the largest peak memory of a rank in MB."""
    port = free_port()
    outputs, peaks, children = [], [], []
    for rank in range(RANKS):
        environment = dict(
            os.environ,
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE=str(RANKS),
            LOCAL_WORLD_SIZE=str(RANKS),
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=str(port),
            OMP_NUM_THREADS="1",
            GLOO_SOCKET_IFNAME="lo",
        )
        output = tempfile.TemporaryFile("w+")
        children.append((subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT), output))
    for child, output in children:
        _, status, usage = os.wait4(child.pid, 0)
        output.seek(0)
        outputs.append(output.read())
        peaks.append(usage.ru_maxrss / 1024)
        if status != 0:
            sys.exit(f"{command[0]} failed:\n{outputs[-1]}")
    return outputs, max(peaks)


def measure(command):
    outputs, peak = run_ranks(command)
    rates = [float(line) for line in re.findall(r"val loss.* ([0-9.]+) images/s", outputs[0])]
    return rates[-1], peak


def main():
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        faces = os.path.join(folder, "faces")
        worker = str(options.bin / "worker")
        subprocess.run(
            [worker, "make-data", faces, "--image-size", "48", "--faces", str(options.faces)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        common = ["--data", faces, "--epochs", "2", "--image-size", str(options.image_size)]
        common += ["--batch-size", str(options.batch_size)]
        python = [str(options.python), "-W", "ignore", str(HERE / "peer_trainer.py")]
        output = os.path.join(folder, "out")
        commands = {
            "worker": [worker, *common, "--overwrite", "--output-dir", output] + (["--amp", "bf16"] if options.amp else []),
            "Python, tuned": [*python, *common, "--tuned"] + (["--amp", "bf16"] if options.amp else []),
            "Python, plain": [*python, *common] + (["--amp", "bf16"] if options.amp else []),
        }
        results = {name: [] for name in commands}
        for _ in range(options.rounds):
            for name, command in commands.items():
                results[name].append(measure(command))
    speed = {name: statistics.median(rate for rate, _ in runs) for name, runs in results.items()}
    memory = {name: statistics.median(peak for _, peak in runs) for name, runs in results.items()}
    print(f"{RANKS} ranks x 1 thread, {options.image_size}x{options.image_size}, batch {options.batch_size // RANKS} a rank, "
          f"median of {options.rounds} interleaved runs")
    for name in commands:
        print(
            f"{name:14} {speed[name]:7.1f} images/s ({speed['worker'] / speed[name]:.2f} x)   "
            f"peak {memory[name]:6.0f} MB ({memory['worker'] / memory[name]:.2f} x)"
        )


if __name__ == "__main__":
    main()
