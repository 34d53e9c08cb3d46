"""The Python side of the numeric checks; runs in the Python that has torch and prints one line of JSON.

    trainer.py weights FILE                          a model whose BatchNorms have seen pictures
    trainer.py probabilities DEVICE WEIGHTS FOLDER SIZE
    trainer.py train DEVICE AMP FOLDER SIZE BATCH EPOCHS OUTPUT
    trainer.py compare OTHER START|- ONE...

`train` makes the first epoch, OUTPUT/epoch.pt, and from there on the rest twice: OUTPUT/end.pt, and OUTPUT/again.pt
with tensors in channels-last order, which adds in another order. How far the two come out apart is what rounding makes
of it.
"""

import json
import os
import pathlib
import sys

import torch
from torch.nn import functional as F
from torch.utils.data import DistributedSampler
from torchvision import datasets, transforms

sys.path.insert(0, os.path.join(os.environ["GPU_CHECK_ROOT"], "tests", "parity"))
from emotion_net import EmotionNet  # noqa: E402

TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def pictures(folder, size):
    steps = [transforms.Resize((size, size)), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    dataset = datasets.ImageFolder(folder, transforms.Compose(steps))
    images, labels = zip(*dataset)
    return dataset, torch.stack(images), torch.tensor(labels)


def weights(file):
    torch.manual_seed(3)
    model = EmotionNet(7)
    for _ in range(2):
        model(torch.randn(4, 3, 64, 64))
    torch.save({"epoch": 0, "model_state_dict": model.state_dict()}, file)
    return {}


def probabilities(device, file, folder, size):
    model = EmotionNet(7)
    model.load_state_dict(torch.load(file, weights_only=True)["model_state_dict"])
    dataset, images, _ = pictures(folder, int(size))
    with torch.no_grad():
        logits = model.to(device).eval()(images.to(device))
    rows = F.log_softmax(logits.double(), 1).tolist()
    return {os.path.relpath(path, folder): row for (path, _), row in zip(dataset.samples, rows)}


class Trainer:
    def __init__(self, device, amp, batch, data, channels_last):
        torch.manual_seed(1)
        self.device, self.batch = device, batch
        self.type = TYPES.get(amp)
        self.order = torch.channels_last if channels_last else torch.contiguous_format
        self.model = EmotionNet(7).to(device).to(memory_format=self.order)
        # Adam divides each gradient by its own size, also one that is nothing but rounding. A large eps leaves such
        # weights in peace; the worker has it from the checkpoint.
        self.optimizer = torch.optim.Adam(self.model.parameters(), 1e-3, eps=1e-3)
        self.schedule = torch.optim.lr_scheduler.StepLR(self.optimizer, 10, 0.1)
        self.scaler = torch.amp.GradScaler(device, enabled=amp == "fp16", growth_interval=8)
        (self.images, self.labels), (self.val_images, self.val_labels) = data
        self.epoch, self.losses = 0, []

    def logits(self, images):
        with torch.autocast(self.device, self.type, enabled=self.type is not None):
            return self.model(images.contiguous(memory_format=self.order)).float()

    def train_epoch(self):
        sampler = DistributedSampler(self.labels, 1, 0, seed=42)
        sampler.set_epoch(self.epoch)
        order = torch.tensor(list(sampler))
        total = 0.0
        self.model.train()
        for chosen in order.split(self.batch):
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.logits(self.images[chosen]), self.labels[chosen])
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            total += loss.item() * len(chosen)
        self.epoch += 1
        self.schedule.step()
        self.losses.append(total / len(order))

    def validate(self):
        self.model.eval()
        with torch.no_grad():
            return F.cross_entropy(self.logits(self.val_images), self.val_labels).item()

    def state(self):
        state = {
            "epoch": self.epoch,
            "model_state_dict": self.model.state_dict(),
            "optimizer_state_dict": self.optimizer.state_dict(),
            "scheduler_state_dict": self.schedule.state_dict(),
            "loss": self.losses[-1],
        }
        return dict(state, scaler_state_dict=self.scaler.state_dict()) if self.scaler.is_enabled() else state

    def load(self, state):
        self.epoch = state["epoch"]
        self.model.load_state_dict(state["model_state_dict"])
        self.optimizer.load_state_dict(state["optimizer_state_dict"])
        self.schedule.load_state_dict(state["scheduler_state_dict"])
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler_state_dict"])


def train(device, amp, folder, size, batch, epochs, output):
    data = []
    for part in ("train", "val"):
        _, images, labels = pictures(os.path.join(folder, part), int(size))
        data.append((images.to(device), labels.to(device)))
    output = pathlib.Path(output)
    first = Trainer(device, amp, int(batch), data, False)
    first.train_epoch()
    torch.save(first.state(), output / "epoch.pt")
    again = Trainer(device, amp, int(batch), data, True)
    again.load(torch.load(output / "epoch.pt", weights_only=True))
    for trainer, name in ((first, "end.pt"), (again, "again.pt")):
        while trainer.epoch < int(epochs):
            trainer.train_epoch()
        torch.save(trainer.state(), output / name)
    return {"train_loss": first.losses[-1], "val_loss": first.validate(), "again_loss": again.losses[-1],
            "again_val_loss": again.validate(), "steps": (int(epochs) - 1) * -(-len(data[0][1]) // int(batch))}


def row(file):
    """Weights, and BatchNorm's statistics, each as one row of numbers; the scaler's state."""
    content = torch.load(file, weights_only=True, map_location="cpu")
    parts = {False: [], True: []}
    for name, value in content["model_state_dict"].items():
        if value.is_floating_point():
            parts[".running_" in name].append(value.double().flatten())
    scaler = content.get("scaler_state_dict") or {}
    told = {key: scaler[key] for key in ("scale", "_growth_tracker") if key in scaler}
    return torch.cat(parts[False]), torch.cat(parts[True]), told


def compare(other, start, *ones):
    """How far each is from `other`, as a part of what it is; with a start also of the way that `other` has gone."""
    weights_other, seen_other, scaler_other = row(other)
    results = []
    for one in ones:
        weights_one, seen_one, scaler_one = row(one)
        apart = (weights_one - weights_other).norm()
        result = {
            "weights": (apart / weights_other.norm()).item(),
            "statistics": ((seen_one - seen_other).norm() / seen_other.norm()).item(),
            "scaler": [scaler_one, scaler_other],
        }
        if start != "-":
            result["of_the_way"] = (apart / (weights_other - row(start)[0]).norm()).item()
        results.append(result)
    return results


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.backends.cudnn.allow_tf32 = False
    ACTIONS = {"weights": weights, "probabilities": probabilities, "train": train, "compare": compare}
    print(json.dumps(ACTIONS[sys.argv[1]](*sys.argv[2:])))
