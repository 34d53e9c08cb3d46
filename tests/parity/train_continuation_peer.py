"""Trains as the worker does, with a Python trainer's parts: torch.optim, torch.optim.lr_scheduler, DistributedSampler,
ImageFolder, AveragedModel. cases.json has the data and the recipes.

`begin`: each case from its first epoch to its last, NAME-end.pt; after the first epoch it is saved as PyTorch's tutorials save,
NAME-epoch.pt. `go_on`: a step further from NAME/last_model.pt, where the worker has stopped; NAME-step.pt has the
position within the epoch, too.
"""

import json
import sys

import torch
from torch.nn import functional as F
from torch.optim import lr_scheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DistributedSampler
from torchvision import datasets, transforms

from emotion_net import EmotionNet
from peer_values import FOLDER, finish, load, require, save

TASK = json.loads((FOLDER / "cases.json").read_text())
SIZE, BATCH, EPOCHS = TASK["size"], TASK["batch"], TASK["epochs"]

# Adam divides each gradient by its own size, also one that is nothing but rounding (a bias before a softmax or a BatchNorm has
# no other). A large eps leaves such weights in peace; the worker has it from the checkpoint.
OPTIMIZERS = {
    "adam": lambda parameters, lr: torch.optim.Adam(parameters, lr, eps=1e-3),
    "adamw": lambda parameters, lr: torch.optim.AdamW(parameters, lr, eps=1e-3),
    "sgd": lambda parameters, lr: torch.optim.SGD(parameters, lr, momentum=0.9, nesterov=True),
}
SCHEDULES = {
    "step": lambda optimizer: lr_scheduler.StepLR(optimizer, 1, 0.5),
    "cosine": lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS),
    "plateau": lambda optimizer: lr_scheduler.ReduceLROnPlateau(optimizer, "min", 0.5, patience=0),
    "warmup": lambda optimizer: lr_scheduler.SequentialLR(
        optimizer,
        [lr_scheduler.LinearLR(optimizer, 1 / 3, total_iters=2), lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS - 2)],
        [2]),
}


def pictures(part):
    steps = [
        transforms.Resize((SIZE, SIZE)),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
    images, labels = zip(*datasets.ImageFolder(f"{TASK['data']}/{part}", transforms.Compose(steps)))
    return torch.stack(images), torch.tensor(labels)


IMAGES, LABELS = pictures("train")
VAL_IMAGES, VAL_LABELS = pictures("val")
CLASSES = int(LABELS.max()) + 1


class Run:
    def __init__(self, case):
        self.case = case
        torch.manual_seed(1)
        self.model = EmotionNet(CLASSES)
        self.optimizer = OPTIMIZERS[case["optimizer"]](self.model.parameters(), case["lr"])
        self.schedule = SCHEDULES[case["schedule"]](self.optimizer)
        self.average = None
        if case["ema"]:
            self.average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(case["ema"]), use_buffers=True)
        counts = LABELS.bincount()
        self.class_weights = len(LABELS) / (CLASSES * counts) if case["class_weights"] else torch.ones(CLASSES)
        self.history = []
        self.begin_epoch(0)

    def begin_epoch(self, epoch):
        self.epoch, self.samples, self.steps = epoch, 0, 0
        self.sums = {"loss": 0.0, "correct": 0.0, "count": 0.0}

    def resume(self, checkpoint):
        self.model.load_state_dict(checkpoint["model_state_dict"])
        self.optimizer.load_state_dict(checkpoint["optimizer_state_dict"])
        self.schedule.load_state_dict(checkpoint["scheduler_state_dict"])
        if self.average:
            self.average.load_state_dict(checkpoint["ema_state_dict"])
        self.begin_epoch(checkpoint["epoch"])
        self.samples, self.steps = checkpoint["samples_done"], checkpoint["sampler"]["step"]
        self.sums, self.history = dict(checkpoint["partial_sums"]), checkpoint["history"]

    def step(self, batches):
        self.model.train()
        self.optimizer.zero_grad()
        whole = self.class_weights[LABELS[sum(batches, [])]].sum()
        for chosen in batches:
            logits, labels = self.model(IMAGES[chosen]), LABELS[chosen]
            loss = F.cross_entropy(logits, labels, self.class_weights, reduction="sum",
                                   label_smoothing=self.case["label_smoothing"])
            (loss / whole).backward()
            self.sums["loss"] += F.cross_entropy(logits, labels, reduction="sum").item()
            self.sums["correct"] += float((logits.argmax(1) == labels).sum())
            self.sums["count"] += float(len(chosen))
        if self.case["clip_grad"]:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.case["clip_grad"])
        self.optimizer.step()
        if self.average:
            self.average.update_parameters(self.model)
        self.steps += 1
        self.samples += sum(len(chosen) for chosen in batches)

    def train_epoch(self, steps=None):
        sampler = DistributedSampler(LABELS, 1, 0, seed=TASK["seed"])
        sampler.set_epoch(self.epoch)
        left = list(sampler)[self.samples:]
        batches = [left[i:i + BATCH] for i in range(0, len(left), BATCH)]
        together = self.case["accumulate"]
        for first in range(0, len(batches), together)[:steps]:
            self.step(batches[first:first + together])

    def end_epoch(self):
        validated = self.average or self.model
        validated.eval()
        with torch.no_grad():
            logits = validated(VAL_IMAGES)
            val_loss = F.cross_entropy(logits, VAL_LABELS).item()
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
        self.begin_epoch(self.epoch + 1)

    def save(self, stage, **more):
        if self.average:
            more["ema_state_dict"] = self.average.state_dict()
        save(f"{self.case['name']}-{stage}.pt", {
            "epoch": self.epoch,
            "model_state_dict": self.model.state_dict(),
            "optimizer_state_dict": self.optimizer.state_dict(),
            "scheduler_state_dict": self.schedule.state_dict(),
            "loss": self.sums["loss"],
            **more,
        })


def begin(run):
    while run.epoch < EPOCHS:
        run.train_epoch()
        run.end_epoch()
        if run.epoch == 1:
            run.save("epoch")
    run.save("end", history=run.history)


def go_on(run):
    run.resume(load(f"{run.case['name']}/last_model.pt"))
    require(1 <= run.epoch < EPOCHS, "the worker did not stop on its way")
    run.train_epoch(steps=1)
    run.save("step", sampler={"epoch": run.epoch, "step": run.steps}, samples_done=run.samples, partial_sums=run.sums,
             history=run.history)


for each in TASK["cases"]:
    {"begin": begin, "go_on": go_on}[sys.argv[2]](Run(each))
finish()
