"""Reads the worker's checkpoint as a PyTorch user would, and predicts with the model in it."""

import json
import sys

import torch

from emotion_net import EmotionNet
from peer_values import FOLDER, require, save

checkpoint = torch.load(sys.argv[2], weights_only=True)
for key in ("epoch", "loss", "early_stopping", "samples_done", "sampler", "scaler_state_dict", "rng_states", "classes"):
    require(key in checkpoint, f"no {key}")
model = EmotionNet(len(checkpoint["classes"]))
model.load_state_dict(checkpoint["model_state_dict"])
optimizer = torch.optim.Adam(model.parameters())
optimizer.load_state_dict(checkpoint["optimizer_state_dict"])
schedule = torch.optim.lr_scheduler.StepLR(optimizer, 10)
schedule.load_state_dict(checkpoint["scheduler_state_dict"])
require(schedule.last_epoch == checkpoint["epoch"], "the scheduler's epoch")
torch.set_rng_state(checkpoint["rng_states"][0])

# One step from there, and a checkpoint of Python's own for the way back.
model.train()
torch.nn.functional.cross_entropy(model(torch.randn(4, 3, 64, 64)), torch.arange(4)).backward()
optimizer.step()
save(
    "from_python.pt",
    {
        "epoch": checkpoint["epoch"],
        "model_state_dict": model.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
        "loss": 1.5,
    },
)
save("weights_only.pt", model.state_dict())
(FOLDER / "manifest.json").write_text(json.dumps({"epoch": checkpoint["epoch"], "classes": checkpoint["classes"]}))
