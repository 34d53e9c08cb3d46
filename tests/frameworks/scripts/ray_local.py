"""Ray Train's torch utilities without Ray's own workers: TorchTrainer in local mode takes torchrun's environment."""
import os
import sys

import ray.train
import ray.train.torch
import torch
import torch.distributed as dist

import killed

path = os.path.join(sys.argv[1], "last.pt")


def training():
    torch.manual_seed(7)
    model = ray.train.torch.prepare_model(torch.nn.Linear(8, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    first = 0
    if os.path.exists(path):
        saved = torch.load(path)
        model.module.load_state_dict(saved["model"])
        first = saved["step"]
    assert ray.train.get_context().get_world_rank() == killed.RANK
    for step in range(first, killed.STEPS):
        killed.step_begins(step)
        optimizer.zero_grad()
        model(torch.full((2, 8), float(killed.RANK + step))).square().mean().backward()
        optimizer.step()
        if killed.RANK == 0:
            torch.save({"model": model.module.state_dict(), "step": step + 1}, path + ".part")
            os.rename(path + ".part", path)
        dist.barrier()
    killed.job_is_done(first, sum(weights.double().sum().item() for weights in model.parameters()))


ray.train.torch.TorchTrainer(training, scaling_config=ray.train.ScalingConfig(num_workers=0)).fit()
