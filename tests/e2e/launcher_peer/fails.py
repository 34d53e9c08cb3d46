"""Rank 1 raises; with --run-path, or with torch's @record around it, the exception reaches the error file."""
import os
import sys
import time

if os.environ["RANK"] == "1":
    raise ValueError(f"bad label in {os.path.basename(sys.argv[0])} {sys.argv[1:]}")
time.sleep(120)
