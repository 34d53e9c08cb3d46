"""torch's store as Python programs use it.

    store_clients.py serve                      torch's libuv server: prints "port N", runs until its standard input ends
    store_clients.py compare FERRUN [COUNT...]  requests per second of COUNT clients (1, 4, 16), each a process with
                                                torch's own client, at ferrun's store and at torch's server, in turns
"""

import datetime
import multiprocessing
import statistics
import subprocess
import sys
import time

import torch.distributed as dist

SECONDS = 0.3
ROUNDS = 7
VALUE = "x" * 64
OPERATIONS = {
    "get": lambda store, key: store.get(key),
    "set": lambda store, key: store.set(key, VALUE),
    "add": lambda store, key: store.add(key + "/count", 1),
}


def serve():
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, use_libuv=True)
    print("port", store.port, flush=True)
    sys.stdin.read()


def client(pipe, ports, index):
    stores = [
        dist.TCPStore("127.0.0.1", port, wait_for_workers=False, timeout=datetime.timedelta(seconds=60))
        for port in ports
    ]
    key = f"bench/{index}"
    for store in stores:
        store.set(key, VALUE)
    pipe.send(None)
    while (task := pipe.recv()) is not None:
        which, name, begin = task
        store, operation = stores[which], OPERATIONS[name]
        while time.monotonic() < begin:
            pass
        count = 0
        while time.monotonic() < begin + SECONDS:
            operation(store, key)
            count += 1
        store.num_keys()  # a set has no answer, this has: the clock stops when the server has done the work
        pipe.send(count / (time.monotonic() - begin))


def compare(ferrun, counts):
    store = [ferrun, "--nproc-per-node=1", "--no-python", "/bin/sh", "-c", "echo port $MASTER_PORT; exec cat > /dev/null"]
    commands = [store, [sys.executable, __file__, "serve"]]
    servers = [subprocess.Popen(c, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for c in commands]
    ports = [int(server.stdout.readline().split()[1]) for server in servers]
    print(f"{'operation':9} {'clients':>7} {'ferrun/s':>10} {'torch/s':>10} {'ratio':>6}")
    for count in counts:
        pipes = []
        for index in range(count):
            ours, theirs = multiprocessing.Pipe()
            multiprocessing.Process(target=client, args=(theirs, ports, index), daemon=True).start()
            pipes.append(ours)
        for pipe in pipes:
            pipe.recv()
        for name in OPERATIONS:
            rates = [[], []]
            for round in range(ROUNDS):
                for which in (0, 1) if round % 2 == 0 else (1, 0):
                    begin = time.monotonic() + 0.05
                    for pipe in pipes:
                        pipe.send((which, name, begin))
                    rates[which].append(sum(pipe.recv() for pipe in pipes))
            ratio = statistics.median(a / b for a, b in zip(*rates))
            ours, theirs = map(statistics.median, rates)
            print(f"{name:9} {count:7} {ours:10.0f} {theirs:10.0f} {ratio:6.2f}", flush=True)
        for pipe in pipes:
            pipe.send(None)
    for server in servers:
        server.stdin.close()
        server.wait()


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    elif len(sys.argv) >= 3 and sys.argv[1] == "compare":
        compare(sys.argv[2], [int(count) for count in sys.argv[3:]] or [1, 4, 16])
    else:
        sys.exit(__doc__)
