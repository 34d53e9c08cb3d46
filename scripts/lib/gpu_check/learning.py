"""What the worker and the Python trainer learn from the same pictures."""

import math
import re

from gpu_check.machine import Unavailable, Wrong


def accuracies(machine, faces, epochs, size, batch):
    """Validation accuracies after the last epoch, the worker's and Python's; how many pictures validate."""
    common = ["--device", machine.device, "--data", faces, "--epochs", epochs]
    common += ["--image-size", size, "--batch-size", batch, "--amp", "off"]
    threads = max(1, min(16, machine.facts["cores"]) - 1)
    ours = machine.run([machine.worker, *common, "--patience", "0", "--num-workers", threads, "--output-dir",
                        machine.work / f"learned-{faces.name}"])
    trainer = machine.root / "bench" / "peer_trainer.py"
    theirs = machine.run([machine.python, trainer, *common, "--num-workers", threads])
    found = [re.findall(r"val loss (\S+) acc (\S+)", said) for said in (ours, theirs)]
    if not all(found):
        raise Wrong("a trainer has told no accuracy")
    return float(found[0][-1][1]), float(found[1][-1][1]), sum(1 for _ in (faces / "val").glob("*/*"))


def compare(machine, faces, epochs, size, batch):
    ours, theirs, pictures = accuracies(machine, faces, epochs, size, batch)
    # Two runs that differ in their random numbers alone: three standard deviations of the difference of two shares, and
    # what the order of pictures makes of a short training.
    share = (ours + theirs) / 2
    noise = 3 * math.sqrt(2 * share * (1 - share) / pictures) + 0.05
    words = f"{epochs} epochs at {size}²: accuracy {ours:.3f}, Python {theirs:.3f}"
    words += f" on {pictures} pictures (noise {noise:.3f})"
    if theirs - ours > noise:
        raise Wrong(words)
    return words, {"worker": ours, "python": theirs, "pictures": pictures, "noise": noise}


def accuracy(machine):
    machine.need_device()
    if machine.on_gpu:
        return compare(machine, machine.drawn_faces(300), 12, 64, 64)
    return compare(machine, machine.drawn_faces(10), 2, 32, 16)


def real_faces(machine):
    if machine.real_faces is None:
        raise Unavailable("no real pictures: name a folder with --faces, here or when the pack is made")
    machine.need_device()
    return compare(machine, machine.real_faces, 12 if machine.on_gpu else 1, 64 if machine.on_gpu else 32, 64)
