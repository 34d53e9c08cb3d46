"""torchft's lighthouse, where replica groups meet, until the test ends it; its address goes to the file that is named."""
import os
import signal
import sys

from torchft.coordination import LighthouseServer

lighthouse = LighthouseServer(bind="127.0.0.1:0", min_replicas=2, join_timeout_ms=1000, heartbeat_timeout_ms=2000)
with open(sys.argv[1] + ".part", "w") as file:
    file.write(lighthouse.address())
os.rename(sys.argv[1] + ".part", sys.argv[1])
signal.pause()
