"""Trains an EmotionNet a little and records its outputs and gradients in float32, in float64, and in float32 under bfloat16
autocast."""

import copy

import torch
from torch.nn import functional as F

from emotion_net import EmotionNet
from peer_values import finish, save

torch.manual_seed(11)
model = EmotionNet(7)
save("initial.pt", model.state_dict())


def batch(size, side):
    targets = torch.arange(size) % 7
    # A pattern for each class below noise, so that a few steps move weights and statistics far from their start.
    inputs = torch.randn(size, 3, side, side) + torch.sin(torch.arange(side) * (targets[:, None] + 1) / 5)[:, None, None, :]
    return inputs, targets


optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
for _ in range(12):
    inputs, targets = batch(14, 64)
    optimizer.zero_grad()
    F.cross_entropy(model(inputs), targets).backward()
    optimizer.step()
# A dozen steps leave the running statistics near their start, where attention counts for nothing in eval mode.
norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
for norm in norms:
    norm.momentum = 0.5
with torch.no_grad():
    for _ in range(8):
        model(batch(14, 64)[0])
for norm in norms:
    norm.momentum = 0.1
save("trained.pt", model.state_dict())

for name, dtype in (("float32", torch.float32), ("float64", torch.float64), ("autocast", torch.float32)):
    record = {}
    for mode in ("eval", "train"):
        copied = copy.deepcopy(model).to(dtype).train(mode == "train")
        inputs, targets = batch(8, 96)
        inputs = inputs.to(dtype)
        with torch.autocast("cpu", torch.bfloat16, enabled=name == "autocast"):
            logits = copied(inputs).to(dtype)
            loss = F.cross_entropy(logits, targets)
        loss.backward()
        record[mode] = {
            "inputs": inputs,
            "targets": targets,
            "logits": logits.detach(),
            "loss": loss.item(),
            "gradients": {key: parameter.grad for key, parameter in copied.named_parameters()},
            "buffers": dict(copied.named_buffers()),
        }
    save(name + ".pt", record)
finish()
