"""The worker's recipe in Python: torch's DistributedDataParallel, torchvision's transforms. The peer in benchmarks.

Started once for each rank, by torchrun, ferrun or bench/train_bench.py:
    ferrun --nproc-per-node 2 bench/peer_trainer.py --data DIR --image-size 64 --epochs 12 [--tuned] [--device cuda]
Prints a line an epoch in the worker's format, and at the end the rank's peak memory with its loader's.
"""

import argparse
import os
import resource
import sys
import time

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler
from torchvision import datasets, transforms

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "parity"))
from emotion_net import EmotionNet  # noqa: E402

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True, help="a folder with train/ and val/")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=128, help="of the job")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--num-workers", type=int, default=1)
    parser.add_argument("--amp", choices=["off", "bf16", "fp16"], default="off", help="fp16: with a gradient scaler")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="cuda: GPU LOCAL_RANK, and NCCL")
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    parser.add_argument("--tell-steps", action="store_true", help="a line after each training step")
    parser.add_argument("--tuned", action="store_true", help="channels_last and the fused Adam")
    return parser.parse_args()


def data(options, world, rank):
    size = options.image_size
    resize = round(size * 256 / 224)
    finish = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    train = datasets.ImageFolder(
        os.path.join(options.data, "train"),
        transforms.Compose(
            [
                transforms.Resize((resize, resize)),
                transforms.RandomCrop(size),
                transforms.RandomHorizontalFlip(),
                transforms.RandomRotation(15),
                transforms.RandomVerticalFlip(),
                *finish,
            ]
        ),
    )
    val = datasets.ImageFolder(
        os.path.join(options.data, "val"), transforms.Compose([transforms.Resize((size, size)), *finish])
    )
    loaders = []
    for dataset, shuffle in ((train, True), (val, False)):
        sampler = DistributedSampler(dataset, world, rank, shuffle=shuffle, seed=options.seed)
        loaders.append(
            DataLoader(
                dataset,
                options.batch_size // world,
                sampler=sampler,
                num_workers=options.num_workers,
                persistent_workers=options.num_workers > 0,
                pin_memory=options.device == "cuda" and options.tuned,
            )
        )
    return train, val, loaders


def run_epoch(network, loader, options, device, optimizer=None, scaler=None, counted=None):
    """Sums of loss, hits and samples over all ranks, and the seconds. Trains when there is an optimizer."""
    sums = torch.zeros(3, dtype=torch.float64, device=device)
    half = torch.float16 if options.amp == "fp16" else torch.bfloat16
    begun = time.perf_counter()
    seen = 0
    for pixels, targets in loader:
        pixels, targets = pixels.to(device, non_blocking=True), targets.to(device, non_blocking=True)
        if options.tuned:
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, half, enabled=options.amp != "off"):
            logits = network(pixels)
            losses = nn.functional.cross_entropy(logits.float(), targets, reduction="none")
        if optimizer is not None:
            optimizer.zero_grad()
            scaler.scale(losses.mean()).backward()
            scaler.step(optimizer)
            scaler.update()
            if options.tell_steps and (not dist.is_initialized() or dist.get_rank() == 0):
                print("step", seen // len(targets) + 1, "done", flush=True)
        take = len(targets) if counted is None else max(0, min(len(targets), counted - seen))
        seen += len(targets)
        hits = logits.detach().argmax(1).eq(targets)
        lost = losses.detach()[:take].double().sum()
        sums += torch.stack([lost, hits[:take].sum().double(), torch.full_like(lost, take)])
    if dist.is_initialized():
        dist.all_reduce(sums)
    sums = sums.cpu()  # waits for the device
    return sums, time.perf_counter() - begun


def main():
    options = arguments()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    device = torch.device("cpu")
    if options.device == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = options.tuned
    if world > 1:
        dist.init_process_group("nccl" if options.device == "cuda" else "gloo")
    torch.manual_seed(options.seed)
    train, val, (train_loader, val_loader) = data(options, world, rank)
    model = EmotionNet(len(train.classes)).to(device)
    if options.tuned:
        model = model.to(memory_format=torch.channels_last)
    network = DistributedDataParallel(model) if world > 1 else model
    if options.compile:
        network = torch.compile(network)
    scaler = torch.amp.GradScaler(options.device, enabled=options.amp == "fp16")
    optimizer = torch.optim.Adam(network.parameters(), lr=options.lr, fused=True if options.tuned else None)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 10, 0.1)
    own_val = len(range(rank, len(val), world))
    for epoch in range(options.epochs):
        train_loader.sampler.set_epoch(epoch)
        network.train()
        sums, seconds = run_epoch(network, train_loader, options, device, optimizer, scaler)
        network.eval()
        with torch.no_grad():
            val_sums, _ = run_epoch(network, val_loader, options, device, counted=own_val)
        schedule.step()
        if rank == 0:
            print(
                f"epoch {epoch + 1}/{options.epochs}  train loss {sums[0] / sums[2]:.4f} acc {sums[1] / sums[2]:.3f}  "
                f"val loss {val_sums[0] / val_sums[2]:.4f} acc {val_sums[1] / val_sums[2]:.3f}  "
                f"{sums[2] / seconds:.1f} images/s",
                flush=True,
            )
    # Ends the loaders' processes, whose peak only their parent can ask for.
    del train_loader, val_loader
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    loader = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"rank {rank} peak memory {own / 1024:.0f} MB, a loader process {loader / 1024:.0f} MB", flush=True)
    if world > 1:
        dist.destroy_process_group()
        # A thread of Gloo may still hold a tensor, which aborts an interpreter that ends (pytorch/pytorch#179291).
        os._exit(0)


if __name__ == "__main__":
    main()
