"""What the scripts of the model, optimizer and checkpoint suites share: where results go, and how they end."""

import json
import pathlib
import sys

import torch

torch.set_num_threads(1)
FOLDER = pathlib.Path(sys.argv[1])


def save(name, value):
    torch.save(value, FOLDER / name)


def load(name):
    return torch.load(FOLDER / name, weights_only=True)


def finish(**facts):
    (FOLDER / "manifest.json").write_text(json.dumps({"torch": torch.__version__, **facts}))


def require(condition, message):
    if not condition:
        sys.exit(f"the peer found a difference: {message}")
