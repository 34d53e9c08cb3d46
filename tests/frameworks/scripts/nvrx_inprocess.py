"""NVRx's in-process wrapper, which calls the training function again in the same processes after an exception of any
rank; it takes the launcher's store. Where a process is lost it is the launcher that starts all again."""
import datetime
import os
import sys

import nvidia_resiliency_ext.inprocess as inprocess
import torch
import torch.distributed as dist

import killed

TENTH = datetime.timedelta(seconds=0.1)
first_call = True


@inprocess.Wrapper(monitor_thread_interval=TENTH, monitor_process_interval=TENTH, last_call_wait=TENTH)
def training(call_wrapper: inprocess.CallWrapper = None):
    global first_call
    client = dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    dist.init_process_group("gloo", store=dist.PrefixStore(f"call {call_wrapper.iteration}", client), rank=killed.RANK,
                            world_size=int(os.environ["WORLD_SIZE"]))
    for step in range(killed.STEPS):
        killed.step_begins(step)
        total = torch.tensor([float(killed.RANK + step)])
        dist.all_reduce(total)
        if first_call and killed.ATTEMPT == 1 and step == 2:
            first_call = False
            if killed.RANK == 1:
                raise RuntimeError("a fault that the wrapper mends")
    dist.destroy_process_group()
    return call_wrapper.iteration, total.item()


calls, total = training()
killed.job_is_done(calls, total)
