#!/usr/bin/env python3
"""Time from the start of a training job's processes to the first finished step, the worker's against the Python trainer's.

    bench/first_step_bench.py BUILD/bin PYTHON [--rounds 7] [--ranks 1] [--image-size 64] [--batch-size 64]

PYTHON is an interpreter with torch and torchvision (scripts/setup installs one). Both train on the same drawn faces of 48 x 48
and are ended after the step; the Python trainer is the tuned one. The worker's step is seen by its bar on a terminal, which is
drawn every 100 ms and not before; the Python trainer's by a line that it prints at once. Prints medians of interleaved runs, of
the whole time and of what of it is not the step: the time until then less that of a later step. The files' pages are in memory,
as after a first run.
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

from train_bench import free_port

HERE = pathlib.Path(__file__).resolve().parent


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=pathlib.Path, help="the folder with worker")
    parser.add_argument("python", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="of each rank")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=64, help="of the job")
    return parser.parse_args()


def rank_environment(rank, options, port):
    return dict(
        os.environ,
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(options.ranks),
        LOCAL_WORLD_SIZE=str(options.ranks),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        OMP_NUM_THREADS=str(options.threads),
        GLOO_SOCKET_IFNAME="lo",
    )


def seconds_to(sign, command, options, count):
    """Runs the ranks; the times, from the start, at which rank 0's terminal has shown `sign` once, twice, ... `count` times."""
    port = free_port()
    terminal, end = os.openpty()
    start = time.monotonic()
    children = [
        subprocess.Popen(
            command,
            env=rank_environment(rank, options, port),
            stdout=end if rank == 0 else subprocess.DEVNULL,
            stderr=end if rank == 0 else subprocess.DEVNULL,
        )
        for rank in range(options.ranks)
    ]
    os.close(end)
    times, seen = [], b""
    while len(times) < count:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # a terminal that nobody has open any more
            part = b""
        if not part:
            sys.exit(f"first_step_bench: {command[0]} ended before its step {len(times) + 1}:\n{seen.decode(errors='replace')}")
        seen += part
        steps = len(re.findall(sign, seen))
        times += [time.monotonic() - start] * (steps - len(times))
    for child in children:
        child.send_signal(signal.SIGKILL)
    for child in children:
        child.wait()
    os.close(terminal)
    return times


def main():
    options = arguments()
    # One step at least takes so long that the worker's bar is drawn at its end.
    steps = 3
    with tempfile.TemporaryDirectory(prefix="first_step_bench.") as folder:
        faces = os.path.join(folder, "faces")
        worker = str(options.bin / "worker")
        per_class = -(-(steps + 1) * options.batch_size // 7)
        subprocess.run([worker, "make-data", faces, "--image-size", "48", "--faces", str(per_class)], check=True,
                       stdout=subprocess.DEVNULL)
        common = ["--data", faces, "--image-size", str(options.image_size), "--batch-size", str(options.batch_size)]
        trainers = {
            "worker": (rb"/[0-9]+  [0-9]+ images/s", [worker, *common, "--overwrite", "--output-dir", os.path.join(folder, "out")]),
            "Python": (rb"step [0-9]+ done", [str(options.python), "-W", "ignore", str(HERE / "peer_trainer.py"), *common, "--tuned",
                                              "--tell-steps"]),
        }
        runs = {name: [] for name in trainers}
        for turn in range(options.rounds + 1):
            for name, (sign, command) in trainers.items():
                times = seconds_to(sign, command, options, steps)
                if turn > 0:  # the first has brought the files into memory
                    runs[name].append((times[0], times[0] - (times[-1] - times[0]) / (steps - 1)))
    first, before = ({name: statistics.median(run[i] for run in runs[name]) for name in runs} for i in (0, 1))
    print(f"{options.ranks} ranks x {options.threads} threads, {options.image_size}x{options.image_size}, batch "
          f"{options.batch_size}, median of {options.rounds} interleaved runs")
    for name in runs:
        print(f"{name:7} {first[name]:6.2f} s to the first finished step, {before[name]:6.2f} s of it before that step")
    print(f"ratio   {first['Python'] / first['worker']:6.2f}                           {before['Python'] / before['worker']:6.2f}")


if __name__ == "__main__":
    main()
