"""Hugging Face accelerate's own training loop."""
import os
import sys

import torch
from accelerate import Accelerator

import killed

accelerator = Accelerator(cpu=True)
assert accelerator.num_processes == int(os.environ["WORLD_SIZE"])
torch.manual_seed(7)
model = torch.nn.Linear(8, 4)
model, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.1))
first = 0
saved = sorted(name for name in os.listdir(sys.argv[1]) if os.path.exists(os.path.join(sys.argv[1], name, "whole")))
if saved:
    accelerator.load_state(os.path.join(sys.argv[1], saved[-1]))
    first = int(saved[-1][4:])
for step in range(first, killed.STEPS):
    killed.step_begins(step)
    optimizer.zero_grad()
    accelerator.backward(model(torch.full((2, 8), float(killed.RANK + step))).square().mean())
    optimizer.step()
    folder = os.path.join(sys.argv[1], f"step{step + 1}")
    accelerator.save_state(folder)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        open(os.path.join(folder, "whole"), "w").close()
    accelerator.wait_for_everyone()
killed.job_is_done(first, sum(weights.double().sum().item() for weights in model.parameters()))
accelerator.end_training()
