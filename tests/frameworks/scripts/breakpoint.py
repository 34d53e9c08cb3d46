"""torch.distributed.breakpoint: a debugger in one rank, which reads from the launcher's stdin; the other ranks wait."""
import torch.distributed as dist

dist.init_process_group("gloo")
answer = 40 + dist.get_rank()
dist.breakpoint(rank=1)
print(f"rank {dist.get_rank()} goes on", flush=True)
dist.destroy_process_group()
