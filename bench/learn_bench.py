#!/usr/bin/env python3
"""Compares what the worker and the Python trainer learn from the same pictures, and what a lost worker changes.

    bench/learn_bench.py BUILD/bin PYTHON DATA [--seeds 42,43,44] [--epochs 12] [--image-size 64]

PYTHON is an interpreter with torch and torchvision (scripts/setup installs one), DATA a folder with train/ and val/, each with
a folder of pictures for every class. For every seed both train on two ranks under ferrun; prints the validation accuracy after
the last epoch. Then the first seed's run is repeated, one of its workers is killed halfway by SIGKILL, and its files are
compared with those of the run that was left alone.
"""

import argparse
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
SAME_WEIGHTS = """
import sys, torch
one, other = (torch.load(name, weights_only=True)["model_state_dict"] for name in sys.argv[1:])
sys.exit(list(one) != list(other) or not all(torch.equal(one[name], other[name]) for name in one))
"""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=pathlib.Path, help="the folder with ferrun and worker")
    parser.add_argument("python", type=pathlib.Path)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--seeds", default="42,43,44")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--image-size", type=int, default=64)
    return parser.parse_args()


def common(options, seed):
    return ["--data", str(options.data), "--epochs", str(options.epochs), "--image-size", str(options.image_size),
            "--seed", str(seed)]


def worker_command(options, seed, output, *launcher):
    return [str(options.bin / "ferrun"), "--nproc-per-node=2", *launcher, "worker", *common(options, seed),
            "--output-dir", str(output)]


def last_accuracy(command, python):
    run = subprocess.run(command, env=dict(os.environ, PYTHON_EXEC=str(python), PYTHONWARNINGS="ignore"), text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    accuracies = re.findall(r"val loss \S+ acc ([0-9.]+)", run.stdout)
    if run.returncode != 0 or not accuracies:
        sys.exit(f"{' '.join(command)} failed:\n{run.stdout}")
    return float(accuracies[-1])


def below(pid):
    """The processes below `pid`."""
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield int(child)
            yield from below(int(child))


def worker_of_rank(launcher, rank):
    for pid in below(launcher):
        if f"RANK={rank}".encode() in pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            return pid
    return sys.exit(f"found no worker with rank {rank}")


def train_and_lose_a_worker(options, seed, output):
    command = worker_command(options, seed, output, "--max-restarts=1")
    with tempfile.TemporaryFile("w+") as log:
        job = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        metrics = output / "metrics.csv"
        # The heading, and a line for each epoch.
        while not metrics.exists() or len(metrics.read_text().splitlines()) <= options.epochs // 2:
            if job.poll() is not None:
                log.seek(0)
                sys.exit(f"{' '.join(command)} ended early:\n{log.read()}")
            time.sleep(0.05)
        os.kill(worker_of_rank(job.pid, 1), signal.SIGKILL)
        status = job.wait()
        log.seek(0)
        text = log.read()
    if status != 0 or "SIGKILL" not in text:
        sys.exit(f"{' '.join(command)} ended with {status}:\n{text}")


def compare(options, undisturbed, disturbed):
    for name in ("metrics.csv", "best_model.pt"):
        same = (undisturbed / name).read_bytes() == (disturbed / name).read_bytes()
        print(f"  {name:14} {'the same bytes' if same else 'DIFFERENT'}")
    files = [str(folder / "last_model.pt") for folder in (undisturbed, disturbed)]  # they carry the launch's id as well
    same = subprocess.run([str(options.python), "-W", "ignore", "-c", SAME_WEIGHTS, *files], check=False).returncode == 0
    print(f"  {'last_model.pt':14} {'the same weights' if same else 'DIFFERENT'}")


def main():
    options = arguments()
    python = ["--nproc-per-node=2", str(HERE / "peer_trainer.py")]
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        seeds = [int(seed) for seed in options.seeds.split(",")]
        print(f"validation accuracy after {options.epochs} epochs at {options.image_size}x{options.image_size}, 2 ranks")
        for seed in seeds:
            ours.append(last_accuracy(worker_command(options, seed, folder / str(seed)), options.python))
            theirs.append(last_accuracy([str(options.bin / "ferrun"), *python, *common(options, seed)], options.python))
            print(f"  seed {seed}: worker {ours[-1]:.3f}   Python {theirs[-1]:.3f}", flush=True)
        mean, other = statistics.mean(ours), statistics.mean(theirs)
        print(f"  mean:    worker {mean:.3f}   Python {other:.3f}   difference {mean - other:+.3f}")
        print(f"seed {seeds[0]} again, the worker with rank 1 killed after epoch {options.epochs // 2}:", flush=True)
        train_and_lose_a_worker(options, seeds[0], folder / "disturbed")
        compare(options, folder / str(seeds[0]), folder / "disturbed")


if __name__ == "__main__":
    main()
