"""Goes on with runs of the worker as a Python trainer: torch.optim, torch.optim.lr_scheduler, DistributedSampler, ImageFolder.

cases.json has the data and, for each case, the worker's checkpoint within an epoch and the recipe. Each is trained to its last
epoch; on the way it is saved as PyTorch's tutorials save, at an epoch's end (NAME-epoch.pt), and with the position in the
next epoch (NAME-step.pt); its end is NAME-end.pt.
"""

import json

import torch
from torch.optim import lr_scheduler
from torch.utils.data import DistributedSampler
from torchvision import datasets, transforms

from emotion_net import EmotionNet
from peer_values import FOLDER, finish, save

TASK = json.loads((FOLDER / "cases.json").read_text())
SIZE, BATCH, EPOCHS, SEED = TASK["size"], TASK["batch"], TASK["epochs"], TASK["seed"]
LR, GAMMA = TASK["lr"], TASK["gamma"]

OPTIMIZERS = {
    "adam": lambda parameters, lr: torch.optim.Adam(parameters, lr),
    "adamw": lambda parameters, lr: torch.optim.AdamW(parameters, lr),
    "sgd": lambda parameters, lr: torch.optim.SGD(parameters, lr, momentum=0.9),
    "nesterov": lambda parameters, lr: torch.optim.SGD(parameters, lr, momentum=0.9, nesterov=True),
}
SCHEDULES = {
    "step": lambda optimizer: lr_scheduler.StepLR(optimizer, 1, GAMMA),
    "cosine": lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS),
    "plateau": lambda optimizer: lr_scheduler.ReduceLROnPlateau(optimizer, "min", GAMMA, patience=0),
    "warmup": lambda optimizer: lr_scheduler.SequentialLR(
        optimizer,
        [lr_scheduler.LinearLR(optimizer, 1 / 3, total_iters=1), lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS - 1)],
        [1]),
}


def pictures(part):
    steps = [
        transforms.Resize((SIZE, SIZE)),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
    folder = datasets.ImageFolder(f"{TASK['data']}/{part}", transforms.Compose(steps))
    images, labels = zip(*folder)
    return torch.stack(images), torch.tensor(labels)


IMAGES, LABELS = pictures("train")
VAL_IMAGES, VAL_LABELS = pictures("val")


class Run:
    def __init__(self, case):
        self.case, checkpoint = case, torch.load(case["checkpoint"], weights_only=True)
        self.model = EmotionNet(len(checkpoint["classes"]))
        self.optimizer = OPTIMIZERS[case["optimizer"]](self.model.parameters(), LR[case["optimizer"]])
        self.schedule = SCHEDULES[case["schedule"]](self.optimizer)
        self.model.load_state_dict(checkpoint["model_state_dict"])
        self.optimizer.load_state_dict(checkpoint["optimizer_state_dict"])
        self.schedule.load_state_dict(checkpoint["scheduler_state_dict"])
        self.epoch, self.samples = checkpoint["epoch"], checkpoint["samples_done"]
        self.history = checkpoint["history"]
        self.sums = dict(checkpoint["partial_sums"])

    def step(self, chosen):
        self.model.train()
        logits = self.model(IMAGES[chosen])
        loss = torch.nn.functional.cross_entropy(logits, LABELS[chosen])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.samples += len(chosen)
        self.sums["loss"] += loss.item() * len(chosen)
        self.sums["correct"] += float((logits.argmax(1) == LABELS[chosen]).sum())
        self.sums["count"] += float(len(chosen))

    def train_epoch(self, batches=None):
        sampler = DistributedSampler(LABELS, 1, 0, seed=SEED)
        sampler.set_epoch(self.epoch)
        left = list(sampler)[self.samples:]
        for chosen in [left[i:i + BATCH] for i in range(0, len(left), BATCH)][:batches]:
            self.step(chosen)

    def end_epoch(self):
        self.model.eval()
        with torch.no_grad():
            logits = self.model(VAL_IMAGES)
            val_loss = torch.nn.functional.cross_entropy(logits, VAL_LABELS).item()
        self.history.append({
            "epoch": self.epoch + 1,
            "lr": self.optimizer.param_groups[0]["lr"],
            "train_loss": self.sums["loss"] / self.sums["count"],
            "train_accuracy": self.sums["correct"] / self.sums["count"],
            "val_loss": val_loss,
            "val_accuracy": (logits.argmax(1) == VAL_LABELS).float().mean().item(),
        })
        if self.case["schedule"] == "plateau":
            self.schedule.step(val_loss)
        else:
            self.schedule.step()
        self.epoch, self.samples, self.sums = self.epoch + 1, 0, {"loss": 0.0, "correct": 0.0, "count": 0.0}

    def save(self, stage, **more):
        save(f"{self.case['name']}-{stage}.pt", {
            "epoch": self.epoch,
            "model_state_dict": self.model.state_dict(),
            "optimizer_state_dict": self.optimizer.state_dict(),
            "scheduler_state_dict": self.schedule.state_dict(),
            "loss": self.history[-1]["train_loss"],
            **more,
        })

    def position(self):
        return {
            "sampler": {"epoch": self.epoch, "step": self.samples // BATCH},
            "samples_done": self.samples,
            "partial_sums": self.sums,
            "history": self.history,
        }


for each in TASK["cases"]:
    run = Run(each)
    run.train_epoch()
    run.end_epoch()
    run.save("epoch")
    run.train_epoch(batches=1)
    run.save("step", **run.position())
    while run.epoch < EPOCHS:
        run.train_epoch()
        run.end_epoch()
    run.save("end", history=run.history)
finish()
