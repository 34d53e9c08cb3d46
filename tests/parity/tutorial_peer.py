"""A tutorial's data and stopping: ImageFolder, Compose and DataLoader; and the plateaus that ReduceLROnPlateau counts."""
import json
import pathlib
import random
import sys

import numpy
import torch
from PIL import Image
from torch.utils.data import DataLoader, DistributedSampler
from torchvision import transforms
from torchvision.datasets import ImageFolder

folder = pathlib.Path(sys.argv[1])
generator = numpy.random.default_rng(23)
for index in range(23):
    path = folder / "pictures" / f"class {index % 3}" / f"{index}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (int(generator.integers(40, 120)), int(generator.integers(40, 120)), 3)
    Image.fromarray(generator.integers(0, 256, shape, dtype=numpy.uint8)).save(path)

# Every kind of step; what is random has one value to draw, so that both sides draw it.
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
COMPOSITIONS = {
    "train": transforms.Compose([
        transforms.Resize(72),
        transforms.CenterCrop([70, 66]),
        transforms.RandomHorizontalFlip(p=1.0),
        transforms.RandomRotation([30.0, 30.0]),
        transforms.RandomVerticalFlip(p=1.0),
        transforms.RandomAffine([-12.5, -12.5], scale=[1.25, 1.25], shear=[5.0, 5.0]),
        transforms.Resize([64, 64]),
        transforms.RandomCrop(64),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]),
    "validation": transforms.Compose([transforms.Resize(64), transforms.CenterCrop(64), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]),
}

batches = {}
for name, composition in COMPOSITIONS.items():
    dataset = ImageFolder(str(folder / "pictures"), composition)
    sampler = DistributedSampler(dataset, num_replicas=1, rank=0, shuffle=name == "train", seed=42)
    sampler.set_epoch(3)
    batches[name] = []
    for number, (pixels, labels) in enumerate(DataLoader(dataset, batch_size=5, sampler=sampler, num_workers=2)):
        (folder / f"{name}{number}").write_bytes(pixels.contiguous().numpy().tobytes())
        batches[name].append(labels.tolist())

# PyTorch has no early stopping; its ReduceLROnPlateau counts the same epochs, and acts one later.
random.seed(7)
runs = []
for number in range(300):
    larger, min_delta, patience = random.random() < 0.5, random.choice([0.0, 0.0, 0.01, 0.125]), random.randint(1, 6)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max" if larger else "min", factor=0.5, patience=patience - 1,
                                                         threshold=min_delta, threshold_mode="abs")
    values, best, ends = [], [], None
    for epoch in range(1, 41):
        value = random.choice([random.random(), round(random.random(), 1), float("nan") if random.random() < 0.2 else 0.5])
        before = plateau.best
        plateau.step(value)
        values.append(value if value == value else None)
        best.append(plateau.best != before)
        if optimizer.param_groups[0]["lr"] < 1.0:
            ends = epoch
            break
    runs.append({"larger": larger, "min_delta": min_delta, "patience": patience, "values": values, "best": best, "ends": ends})

(folder / "manifest.json").write_text(json.dumps({"batches": batches, "runs": runs}))
