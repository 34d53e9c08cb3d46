"""Plays torchrun: torch is imported once, and every launch is a fork of this process.

Reads a line of JSON for each launch on stdin: its arguments, environment, folder, and the files for its output, its pid
and, at its end, its wait status. Whoever asks watches these files."""
import json
import os
import signal
import sys
import traceback

import torch.distributed.run
import torch.distributed.elastic.agent.server.local_elastic_agent  # noqa: F401
import torch.distributed.elastic.rendezvous.c10d_rendezvous_backend  # noqa: F401


def put(path, text):
    with open(path + ".part", "w") as out:
        out.write(text)
    os.rename(path + ".part", path)


def torchrun(launch):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.chdir(launch["folder"])
    os.environ.clear()
    os.environ.update(launch["environment"])
    sys.argv = ["torchrun", *launch["arguments"]]
    for stream, name in ((0, os.devnull), (1, launch["out"]), (2, launch["err"])):
        opened = os.open(name, os.O_RDWR | os.O_CREAT, 0o644)
        os.dup2(opened, stream)
        os.close(opened)
    code = 0
    try:
        torch.distributed.run.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def serve():
    for line in sys.stdin:
        launch = json.loads(line)
        watcher = os.fork()
        if watcher == 0:
            worker = os.fork()
            if worker == 0:
                torchrun(launch)
            put(launch["pid"], str(worker))
            put(launch["status"], str(os.waitpid(worker, 0)[1]))
            os._exit(0)
        # The watchers of launches that are over.
        try:
            while os.waitpid(-1, os.WNOHANG)[0] != 0:
                pass
        except ChildProcessError:
            pass


# Under --run-path Python's multiprocessing imports this file once more.
if __name__ == "__main__":
    serve()
