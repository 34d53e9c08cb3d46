"""Each step of torchvision.transforms by its functional call on Pillow images, with stated draws; and whole compositions."""
import json
import pathlib
import sys

import numpy
import torchvision.transforms.functional as F
from PIL import Image

folder = pathlib.Path(sys.argv[1])
random = numpy.random.default_rng(17)
manifest = []


def record(kind, width, height, function, **arguments):
    pixels = random.integers(0, 256, (height, width, 3), dtype=numpy.uint8)
    name = f"{len(manifest)}"
    (folder / name).write_bytes(pixels.tobytes())
    out = function(Image.fromarray(pixels))
    out = numpy.asarray(out) if isinstance(out, Image.Image) else out.contiguous().numpy()
    (folder / (name + ".out")).write_bytes(out.tobytes())
    shape = {"out_width": int(out.shape[1]), "out_height": int(out.shape[0])} if out.dtype == numpy.uint8 else {}
    manifest.append({"kind": kind, "width": width, "height": height, **shape, **arguments})


def integer(low, high):
    return int(random.integers(low, high))


sizes = [(1, 1), (5, 8), (48, 48), (64, 48), (33, 90), (101, 100)] + [(integer(1, 130), integer(1, 130)) for _ in range(40)]
for width, height in sizes:
    shorter = integer(1, 100)
    record("Resize", width, height, lambda image: F.resize(image, [shorter]), size=[shorter])
    pair = [integer(1, 100), integer(1, 100)]
    record("Resize", width, height, lambda image: F.resize(image, pair), size=pair)
    crop = [integer(1, 130), integer(1, 130)]
    record("CenterCrop", width, height, lambda image: F.center_crop(image, crop), size=crop)
    inner = [integer(1, height + 1), integer(1, width + 1)]
    top, left = integer(0, height - inner[0] + 1), integer(0, width - inner[1] + 1)
    record("RandomCrop", width, height, lambda image: F.crop(image, top, left, *inner), size=inner, top=top, left=left)
    record("RandomHorizontalFlip", width, height, F.hflip)
    record("RandomVerticalFlip", width, height, F.vflip)
    for angle in [float(random.uniform(-180, 180)), float(random.choice([0.0, 90.0, -90.0, 180.0, 270.0, 360.0, 45.0]))]:
        record("RandomRotation", width, height, lambda image: F.rotate(image, angle, fill=0), degrees=angle)
    for number in range(6):
        draw = {"degrees": float(random.uniform(-180, 180)) if number != 1 else 0.0,
                "shift_x": integer(-width, width + 1) if number != 2 else 0, "shift_y": integer(-height, height + 1) if number != 2 else 0,
                "scale": float(random.uniform(0.2, 3)) if number != 3 else float(random.choice([0.001, 0.0001, 1.0])),
                "shear_x": float(random.uniform(-60, 60)) if number % 2 == 0 else 0.0,
                "shear_y": float(random.uniform(-60, 60)) if number == 4 else 0.0}
        record("RandomAffine", width, height,
               lambda image: F.affine(image, draw["degrees"], [draw["shift_x"], draw["shift_y"]], draw["scale"],
                                      [draw["shear_x"], draw["shear_y"]], fill=0), **draw)

for width in (1, 7, 32):
    record("ToTensor", width, width, F.to_tensor)
    mean, std = [float(v) for v in random.uniform(0.2, 0.8, 3)], [float(v) for v in random.uniform(0.1, 0.5, 3)]
    record("Normalize", width, width, lambda image: F.normalize(F.to_tensor(image), mean, std), mean=mean, std=std)

(folder / "manifest.json").write_text(json.dumps(manifest))
