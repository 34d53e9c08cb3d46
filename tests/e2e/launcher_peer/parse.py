"""What torchrun's own parser makes of command lines: reads a JSON list of them, writes a JSON list of results
(null for a usage error) to stdout."""
import contextlib
import io
import json
import sys

from torch.distributed.run import get_args_parser

NAMES = ["nnodes", "nproc_per_node", "rdzv_backend", "rdzv_endpoint", "rdzv_id", "rdzv_conf", "standalone", "max_restarts",
         "monitor_interval", "start_method", "role", "module", "no_python", "run_path", "log_dir", "redirects", "tee",
         "local_ranks_filter", "node_rank", "master_addr", "master_port", "local_addr"]


def parse(words):
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            found = get_args_parser().parse_args(words)
    except SystemExit:
        return None
    values = {name.replace("_", "-"): getattr(found, name) for name in NAMES}
    return {"program": [found.training_script, *found.training_script_args], "values": values}


json.dump([parse(words) for words in json.load(open(sys.argv[1]))], sys.stdout)
