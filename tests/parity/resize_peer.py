"""Resizes, rotations and whole pipelines by Pillow and torchvision, on random pictures and stated draws."""
import json
import pathlib
import sys

import numpy
import torch
import torchvision.transforms.functional as F
from PIL import Image
from torchvision import transforms

folder = pathlib.Path(sys.argv[1])
random = numpy.random.default_rng(11)
manifest = {"resize": [], "rotate": [], "pipeline": []}


def picture(name, width, height):
    pixels = random.integers(0, 256, (height, width, 3), dtype=numpy.uint8)
    if len(manifest["resize"]) % 3 == 0:  # extremes: every sum at its limit
        pixels = numpy.where(pixels > 127, 255, 0).astype(numpy.uint8)
    (folder / name).write_bytes(pixels.tobytes())
    return Image.fromarray(pixels)


sizes = [(48, 48, 256, 256), (48, 48, 64, 64), (48, 48, 73, 73), (256, 256, 48, 48), (1, 1, 5, 7), (5, 7, 1, 1), (640, 480, 256, 256),
         (640, 480, 224, 298), (64, 48, 64, 100), (64, 48, 31, 48), (33, 17, 33, 17), (2, 3, 200, 100), (1000, 3, 10, 300), (517, 311, 73, 73),
         (3, 700, 256, 2), (2500, 40, 17, 40)]
sizes += [tuple(int(v) for v in random.integers(1, 120, 4)) for _ in range(150)]
for number, (width, height, to_width, to_height) in enumerate(sizes):
    image = picture(f"resize-{number}", width, height)
    out = F.resize(image, [to_height, to_width])
    (folder / f"resize-{number}.out").write_bytes(numpy.asarray(out).tobytes())
    manifest["resize"].append({"width": width, "height": height, "to_width": to_width, "to_height": to_height})

angles = [0.0, 15.0, -15.0, 1e-7, -1e-7, 90.0, 180.0, -90.0, 270.0, 45.0, 359.5, 123.456]
angles += [float(torch.empty(1).uniform_(-15, 15).item()) for _ in range(60)]
for number, angle in enumerate(angles):
    width, height = [(64, 64), (224, 224), (73, 41), (1, 1), (2, 5)][number % 5]
    image = picture(f"rotate-{number}", width, height)
    out = F.rotate(image, angle, fill=[0, 0, 0])
    (folder / f"rotate-{number}.out").write_bytes(numpy.asarray(out).tobytes())
    manifest["rotate"].append({"width": width, "height": height, "degrees": angle})

normalize = transforms.Compose([transforms.ToTensor(), transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])
for number in range(40):
    width, height, resize, crop = [(48, 48, 256, 224), (48, 48, 73, 64), (100, 60, 73, 64), (300, 200, 73, 73), (64, 64, 64, 64)][number % 5]
    image = picture(f"pipeline-{number}", width, height)
    draw = {"left": int(random.integers(0, resize - crop + 1)), "top": int(random.integers(0, resize - crop + 1)),
            "flip_horizontally": bool(random.integers(2)), "flip_vertically": bool(random.integers(2)),
            "degrees": float(random.uniform(-15, 15)) if number % 4 else 0.0}
    out = F.crop(F.resize(image, [resize, resize]), draw["top"], draw["left"], crop, crop)
    out = F.hflip(out) if draw["flip_horizontally"] else out
    out = F.rotate(out, draw["degrees"], fill=[0, 0, 0])
    out = F.vflip(out) if draw["flip_vertically"] else out
    (folder / f"pipeline-{number}.out").write_bytes(normalize(out).contiguous().numpy().tobytes())
    manifest["pipeline"].append({"width": width, "height": height, "resize": resize, "crop": crop, **draw})

(folder / "manifest.json").write_text(json.dumps(manifest))
