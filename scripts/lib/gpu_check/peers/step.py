"""Python's training step on pictures that are on the device already: bench/step_rounds.cc's peer, with its protocol.

    step.py DEVICE SIZE BATCH fp32|tf32|bf16|fp16 plain|tuned|compiled STEPS

Prints "ready" after the first steps, then for each line on stdin the seconds of STEPS steps; ends with stdin.
"""

import os
import sys
import time

import torch
from torch.nn import functional as F

sys.path.insert(0, os.path.join(os.environ["GPU_CHECK_ROOT"], "tests", "parity"))
from emotion_net import EmotionNet  # noqa: E402

device, size, batch, precision, kind, steps = sys.argv[1:7]
on_gpu, tuned = device == "cuda", kind != "plain"
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
torch.backends.cudnn.benchmark = tuned
torch.backends.cudnn.allow_tf32 = precision != "fp32"  # the default
order = torch.channels_last if tuned else torch.contiguous_format
torch.manual_seed(1)
pixels = torch.randn(int(batch), 3, int(size), int(size), device=device).contiguous(memory_format=order)
targets = torch.randint(0, 7, (int(batch),), device=device)
model = EmotionNet(7).to(device).to(memory_format=order)
optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True if tuned else None)
scaler = torch.amp.GradScaler(device, enabled=precision == "fp16")
network = torch.compile(model) if kind == "compiled" else model
half = torch.float16 if precision == "fp16" else torch.bfloat16


def round_of(count):
    if on_gpu:
        torch.cuda.synchronize()
    begun = time.perf_counter()
    for _ in range(count):
        optimizer.zero_grad()
        with torch.autocast(device, half, enabled=precision in ("bf16", "fp16")):
            loss = F.cross_entropy(network(pixels), targets)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - begun


round_of(14 if on_gpu else 2)
print("ready", flush=True)
for _ in sys.stdin:
    print(f"{round_of(int(steps)):.6f}", flush=True)
