# Rank 0 overruns a timer of torch's own client; rank 1 keeps within its own.
import os
import time

import torch.distributed.elastic.timer as timer

timer.configure(timer.FileTimerClient(os.environ["TORCHELASTIC_TIMER_FILE"]))
if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
    with timer.expires(after=60, scope="kept"):
        pass
    if os.environ["RANK"] == "0":
        with timer.expires(after=0.2, scope="overrun"):
            time.sleep(60)
    time.sleep(60)
print(f"done {os.environ['RANK']}")
