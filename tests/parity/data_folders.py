"""Lists folders as torchvision.datasets.ImageFolder does: a generated tree with awkward names, and those given as arguments."""
import json
import pathlib
import random
import sys

from torchvision.datasets import ImageFolder

folder = pathlib.Path(sys.argv[1])
random.seed(5)
tree = folder / "tree"
pieces = ["a", "B", "b-c", "b", "c d", "é", "Z", "_", "10", "9", "x.y", "日本", "~", "a.jpg"]
endings = [".jpg", ".JPG", ".jpeg", ".png", ".PnG", ".bmp", ".tiff", ".webp", ".gif", ".txt", "", ".jpg.bak"]
for label in pieces:
    (tree / label).mkdir(parents=True)
    (tree / label / "one.png").touch()
    for _ in range(30):
        below = tree / label
        for _ in range(random.randrange(4)):
            below = below / random.choice(pieces)
        try:
            below.mkdir(parents=True, exist_ok=True)
            (below / (random.choice(pieces) + random.choice(endings))).touch()
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            pass  # the name is taken by the other kind

lists = []
for root in [str(tree)] + sys.argv[2:]:
    listed = ImageFolder(root)
    lists.append({"root": root, "classes": listed.classes, "samples": [[path, label] for path, label in listed.samples]})
(folder / "manifest.json").write_text(json.dumps(lists))
