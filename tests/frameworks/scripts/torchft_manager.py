"""torchft's manager: each job is a replica group, and the groups average through it. One whose worker was killed comes
back under its launcher, and takes model and step from the other, which has waited for it at its next step."""
import os
import signal
import sys
from datetime import timedelta

import torch
import torchft

import killed

GROUP = int(os.environ["REPLICA_GROUP_ID"])
torch.manual_seed(7)
model = torch.nn.Linear(8, 4)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)


def load(state):
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])


manager = torchft.Manager(pg=torchft.ProcessGroupGloo(timeout=timedelta(seconds=20)), min_replica_size=2,
                          load_state_dict=load, replica_id=f"group_{GROUP}", lighthouse_addr=killed.text_of(sys.argv[1]), timeout=timedelta(seconds=100),
                          quorum_timeout=timedelta(seconds=300), connect_timeout=timedelta(seconds=100),
                          state_dict=lambda: {"model": model.state_dict(), "optimizer": optimizer.state_dict()})
replicated = torchft.DistributedDataParallel(manager, model)
fault_tolerant = torchft.Optimizer(manager, optimizer)
first = None
while manager.current_step() < killed.STEPS:
    step = manager.current_step()
    if GROUP == 1 and killed.ATTEMPT == 0 and step == killed.LAST_WORDS_AT:
        os.kill(os.getpid(), signal.SIGKILL)
    fault_tolerant.zero_grad()  # begins a quorum
    replicated(torch.full((2, 8), float(GROUP + step))).square().mean().backward()
    fault_tolerant.step()  # nothing where a group was lost meanwhile
    if first is None:
        first = manager.current_step() - 1
killed.job_is_done(first, sum(weights.double().sum().item() for weights in model.parameters()))
manager.shutdown(wait=False)
sys.stdout.flush()
os._exit(0)  # its server's threads outlive the interpreter
