"""torch's Python clients against ferrun's store. Usage: store_peer.py operations|group PORT

operations: every store operation gives what torch's own server gives.
group: three processes form a Gloo group through the store, as workers of a launcher do, and all-reduce.
Exits with 0 when everything is as it should be; says what is not.
"""
import datetime
import os
import subprocess
import sys

import torch
import torch.distributed as dist

WORLD = 3


def client(port, seconds=60):
    return dist.TCPStore("127.0.0.1", port, None, False, timeout=datetime.timedelta(seconds=seconds))


def outcome(ask):
    try:
        return ask()
    except Exception as error:  # the kind is compared; the text has addresses in it
        return type(error).__name__


def timed_out_wait(store):
    store.wait(["never"], datetime.timedelta(milliseconds=50))


def answers(port):
    store = client(port)
    script = [
        ("set", lambda: store.set("key", "value")),
        ("get", lambda: store.get("key")),
        ("get binary", lambda: (store.set("binary", b"\0\xff\n"), store.get("binary"))[1]),
        ("add", lambda: (store.add("count", 5), store.add("count", -7), store.get("count"))),
        ("add to words", lambda: (store.set("text", " 4 words"), store.add("text", 1), store.get("text"))),
        ("compare_set absent", lambda: (store.compare_set("a", "x", "y"), store.check(["a"]))),
        ("compare_set new", lambda: store.compare_set("a", "", "first")),
        ("compare_set wrong", lambda: store.compare_set("a", "wrong", "second")),
        ("compare_set right", lambda: store.compare_set("a", "first", "second")),
        ("check", lambda: (store.check(["a", "key"]), store.check(["a", "b"]), store.check([]))),
        ("wait", lambda: store.wait(["a", "key"])),
        ("wait in vain", lambda: timed_out_wait(store)),
        ("after it", lambda: store.get("key")),
        ("num_keys", lambda: store.num_keys()),
        ("delete_key", lambda: (store.delete_key("key"), store.delete_key("key"))),
        ("append", lambda: (store.append("log", "ab"), store.append("log", "c"), store.get("log"))),
        ("multi_set", lambda: store.multi_set(["m1", "m2"], ["1", ""])),
        ("multi_get", lambda: store.multi_get(["m2", "m1"])),
        ("has_extended_api", lambda: store.has_extended_api()),
        ("queue_push", lambda: (store.queue_push("q", b"1"), store.queue_push("q", b"2"), store.queue_len("q"))),
        ("queue and keys", lambda: (store.check(["q"]), store.num_keys(), store.delete_key("q"))),
        ("queue_pop", lambda: (store.queue_pop("q"), store.queue_pop("q", block=False), store.queue_len("q"))),
        ("queue_pop empty", lambda: store.queue_pop("q", block=False)),
        ("list_keys", lambda: sorted(store.list_keys())),
        ("clone", lambda: store.clone().get("a")),
        ("prefix", lambda: (dist.PrefixStore("p", store).set("k", "v"), store.get("p/k"))),
        ("longest key", lambda: (store.set("k" * 8191, "v"), store.get("k" * 8191))),
        ("largest value", lambda: (store.set("big", b"v" * (8 << 20)), len(store.get("big")))),
        ("add to no number", lambda: (store.set("word", "x"), store.add("word", 1))),
        ("closed after it", lambda: store.num_keys()),
    ]
    return [(name, outcome(ask)) for name, ask in script]


def compare_operations(port):
    own = dist.TCPStore("127.0.0.1", 0, None, True, wait_for_workers=False)
    wrong = 0
    for (name, expected), (_, got) in zip(answers(own.port), answers(port)):
        if got != expected:
            wrong += 1
            print(f"{name}: torch's server gives {expected!r}, ferrun's {got!r}")
    assert client(port).num_keys() > 10, "the store has lost its keys"
    return wrong


def rank_main():
    dist.init_process_group("gloo", timeout=datetime.timedelta(seconds=90))
    rank = dist.get_rank()
    for step in range(3):
        tensor = torch.full((1000,), float(rank + 1 + step))
        dist.all_reduce(tensor)
        expected = sum(r + 1 + step for r in range(WORLD))
        assert torch.equal(tensor, torch.full((1000,), float(expected))), (rank, step, tensor[0])
    dist.barrier()
    subgroup = dist.new_group([0, 2])
    if rank in (0, 2):
        tensor = torch.tensor([rank])
        dist.all_reduce(tensor, group=subgroup)
        assert tensor.item() == 2
    gathered = [None] * WORLD
    dist.all_gather_object(gathered, {"rank": rank})
    assert gathered == [{"rank": r} for r in range(WORLD)]
    dist.destroy_process_group()
    # A thread of Gloo may still hold a tensor, which aborts an interpreter that ends (pytorch/pytorch#179291).
    sys.stdout.flush()
    os._exit(0)


def form_group(port):
    job = dict(os.environ, MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), WORLD_SIZE=str(WORLD), OMP_NUM_THREADS="1",
               TORCHELASTIC_USE_AGENT_STORE="True", TORCHELASTIC_RESTART_COUNT="0", TORCHELASTIC_RUN_ID="peer")
    command = [sys.executable, "-W", "ignore", __file__, "rank", "0"]
    ranks = [subprocess.Popen(command, env=dict(job, RANK=str(rank), LOCAL_RANK=str(rank))) for rank in range(WORLD)]
    return sum(process.wait() != 0 for process in ranks)


if __name__ == "__main__":
    mode, number = sys.argv[1], int(sys.argv[2])
    sys.exit({"operations": compare_operations, "group": form_group, "rank": lambda _: rank_main()}[mode](number))
