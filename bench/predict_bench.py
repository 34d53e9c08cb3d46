#!/usr/bin/env python3
"""Compares `worker predict` with the loop that a Python user writes: model.eval(), a DataLoader, softmax.

    bench/predict_bench.py BUILD/bin PYTHON [--rounds 3] [--image-size 224] [--pictures 256] [--batch-size 32]

PYTHON is an interpreter with torch and torchvision (scripts/setup installs one). Both answer for the same drawn faces, read
from JPEG files, with the same weights, batches and computing threads, and take turns. The worker's time is that of the whole
command; Python's is the loop alone, without the seconds that its imports take. Prints medians of pictures per second, of
processor seconds per 1000 pictures, and the ratios; checks that the probabilities agree.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=pathlib.Path, help="the folder with worker")
    parser.add_argument("python", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--num-workers", type=int, default=2, help="threads or processes that decode, on both sides")
    return parser.parse_args()


def children_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run(command, environment):
    """Standard output, seconds and processor seconds of a command."""
    cpu, start = children_seconds(), time.monotonic()
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"predict_bench: {command[0]} ended with {done.returncode}")
    return done.stdout, time.monotonic() - start, children_seconds() - cpu


def python_side(folder, options):
    """In PYTHON: writes the weights, or predicts and prints its times and probabilities."""
    sys.path.insert(0, str(HERE.parent / "tests/parity"))
    import torch
    from emotion_net import EmotionNet
    from PIL import Image
    from torchvision import transforms

    torch.set_num_threads(options["threads"])
    weights = folder / "weights.pt"
    if not weights.exists():
        torch.manual_seed(1)
        model = EmotionNet(7)
        with torch.no_grad():
            for _ in range(8):  # moves the running statistics to where they are in use
                model(torch.randn(8, 3, 64, 64))
        torch.save(model.state_dict(), weights)
        return
    model = EmotionNet(7)
    model.load_state_dict(torch.load(weights, weights_only=True))
    model.eval()
    size = (options["image_size"], options["image_size"])
    prepare = transforms.Compose([
        transforms.Resize(size),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ])

    class Pictures(torch.utils.data.Dataset):
        def __len__(self):
            return len(options["files"])

        def __getitem__(self, index):
            return prepare(Image.open(options["files"][index]).convert("RGB"))

    answers = []
    loader = torch.utils.data.DataLoader(Pictures(), options["batch_size"], num_workers=options["num_workers"])
    cpu, start = sum(os.times()[:4]), time.monotonic()
    with torch.no_grad():
        for batch in loader:
            answers += torch.softmax(model(batch), 1).tolist()
    seconds = time.monotonic() - start
    print(json.dumps({"seconds": seconds, "cpu": sum(os.times()[:4]) - cpu, "answers": answers}))


def main():
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="predict_bench.") as name:
        folder = pathlib.Path(name)
        worker = str(options.bin / "worker")
        faces = -(-options.pictures // 7)
        subprocess.run([worker, "make-data", "--faces", str(faces), "--image-size", "256", str(folder / "faces")],
                       check=True, stdout=subprocess.DEVNULL)
        files = sorted(map(str, (folder / "faces/train").rglob("*.jpg")))[:options.pictures]
        for_python = dict(vars(options), files=files, bin=None, python=None)
        environment = dict(os.environ, OMP_NUM_THREADS=str(options.threads))
        python = [str(options.python), "-W", "ignore", __file__, "--peer", name, json.dumps(for_python)]
        run(python, environment)
        ours = [worker, "predict", "--checkpoint", str(folder / "weights.pt"), "--json", "--image-size", str(options.image_size),
                "--batch-size", str(options.batch_size), "--num-workers", str(options.num_workers),
                "--threads", str(options.threads), *files]
        speeds = {"worker": [], "python": []}
        costs = {"worker": [], "python": []}
        difference = 0.0
        for _ in range(options.rounds):
            out, seconds, cpu = run(ours, environment)
            speeds["worker"].append(len(files) / seconds)
            costs["worker"].append(1000 * cpu / len(files))
            theirs = json.loads(run(python, environment)[0])
            speeds["python"].append(len(files) / theirs["seconds"])
            costs["python"].append(1000 * theirs["cpu"] / len(files))
            for answer, wanted in zip(json.loads(out), theirs["answers"], strict=True):
                found = answer["probabilities"].values()
                difference = max(difference, *(abs(a - b) for a, b in zip(found, wanted, strict=True)))
    speed = {side: statistics.median(values) for side, values in speeds.items()}
    cost = {side: statistics.median(values) for side, values in costs.items()}
    print(f"{len(files)} pictures at {options.image_size}, batches of {options.batch_size}, {options.threads} threads")
    for side in speed:
        print(f"{side:7} {speed[side]:8.1f} pictures/s {cost[side]:8.2f} processor seconds per 1000")
    print(f"ratio   {speed['worker'] / speed['python']:8.2f} in speed    {cost['python'] / cost['worker']:8.2f} in cost")
    print(f"largest difference of a probability {difference:.1e}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peer"]:
        python_side(pathlib.Path(sys.argv[2]), json.loads(sys.argv[3]))
    else:
        main()
