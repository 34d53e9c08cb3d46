"""Two ranks ask the launcher's store through torch's own clients what PyTorch's suites ask of a store.

Each rank prints one line for each answer that is wrong, and "asked N" at the end.
"""
import datetime
import os
import sys

import torch.distributed as dist
from torch.distributed.elastic.utils import store as elastic

RANK, WORLD = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
asked = 0


def milliseconds(number):
    return datetime.timedelta(milliseconds=number)


def client(seconds=120):
    return dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), None, False,
                         timeout=datetime.timedelta(seconds=seconds))


def expect(name, got, expected):
    global asked
    asked += 1
    if got != expected:
        print(f"rank {RANK}: {name}: {got!r} instead of {expected!r}")


def expect_raised(name, kind, words, ask):
    try:
        got = ask()
    except Exception as error:
        expect(name, (type(error), words in str(error).lower()), (kind, True))
        return
    expect(name, got, kind)


def operations(store):
    """What one client does, through a bare store and behind a prefix alike."""
    before = store.num_keys()
    for number in range(1, 4):
        store.add("sum", number)
    store.set("word", "value")
    expect("a sum is text", store.get("sum"), b"6")
    expect("add goes on from a text that was set", (store.set("number", "40"), store.add("number", 2))[1], 42)
    expect("keys are counted", store.num_keys(), before + 3)
    expect("a key is set anew", (store.set("word", "other"), store.get("word"))[1], b"other")
    expect("a deleted key is gone", (store.delete_key("word"), store.delete_key("word"), store.num_keys()),
           (True, False, before + 2))
    expect("compare_set of an absent key", store.compare_set("compared", "old", "new"), b"old")
    expect("it has set nothing", store.check(["compared"]), False)
    expect("compare_set from nothing", store.compare_set("compared", "", "first"), b"first")
    expect("compare_set with the wrong value", store.compare_set("compared", "old", "new"), b"first")
    expect("compare_set with the right value", store.compare_set("compared", "first", "second"), b"second")
    store.append("log", "one,")
    store.append("log", "two")
    expect("append", store.get("log"), b"one,two")
    store.multi_set(["m0", "m1", "m2"], ["", "b", "c" * 100000])
    expect("multi_get in the order asked", store.multi_get(["m2", "m0", "m1"]), [b"c" * 100000, b"", b"b"])
    expect("multi_get of nothing", store.multi_get([]), [])
    expect("check of several keys", (store.check(["m0", "m1"]), store.check(["m0", "absent"])), (True, False))
    expect("wait for several keys", store.wait(["m0", "m1", "log"], milliseconds(10000)), None)
    expect_raised("wait in vain for one of two", dist.DistStoreError, "timeout",
                  lambda: store.wait(["m0", "absent"], milliseconds(20)))
    expect("the connection goes on", store.get("m1"), b"b")
    large = bytes(range(256)) * (32 << 10)
    store.set("large", large)
    expect("8 MiB, the most that the protocol takes", store.get("large") == large, True)
    store.delete_key("large")
    for number in range(500):
        store.set(f"many/{number}", str(number))
    expect("many keys", [int(value) for value in store.multi_get([f"many/{number}" for number in range(500)])],
           list(range(500)))
    expect("many keys go", all(store.delete_key(f"many/{number}") for number in range(500)), True)
    expect("an empty queue", store.queue_len("queue"), 0)
    expect_raised("pop from an empty queue", dist.QueueEmptyError, "", lambda: store.queue_pop("queue", block=False))
    store.queue_push("queue", b"1")
    store.queue_push("queue", b"2")
    expect("a queue is first in, first out",
           (store.queue_len("queue"), store.queue_pop("queue"), store.queue_pop("queue"), store.queue_len("queue")),
           (2, b"1", b"2", 0))
    store.set_timeout(milliseconds(20))
    expect_raised("get in vain", dist.DistStoreError, "timeout", lambda: store.get("absent"))
    expect_raised("pop in vain", dist.DistStoreError, "timeout", lambda: store.queue_pop("queue"))
    store.set_timeout(milliseconds(120000))
    expect("it goes on after that", store.get("sum"), b"6")


def prefixes(store):
    inner = dist.PrefixStore("inner", dist.PrefixStore("outer", store))
    inner.set("key", "value")
    expect("prefixes lie in one another", store.get("outer/inner/key"), b"value")
    expect("a prefix is no key of another", dist.PrefixStore("outer", store).check(["key"]), False)
    expect("the store behind it", inner.underlying_store.get("inner/key"), b"value")
    expect("keys are listed", {"outer/inner/key"} <= set(store.list_keys()), True)


def together(store):
    """What both ranks do, each by its own connection."""
    elastic.barrier(store, WORLD, "met", 120)
    expect("each has the data of all", elastic.synchronize(store, str(RANK).encode(), RANK, WORLD, "data", 120),
           [b"0", b"1"])
    for _ in range(200):
        store.add("shared", 1)
    elastic.barrier(store, WORLD, "counted", 120)
    expect("no addition is lost", store.get("shared"), b"400")
    other = str(1 - RANK)
    store.queue_push("to" + other, b"from %d" % RANK)
    expect("each pops what the other has pushed", store.queue_pop("to" + str(RANK)), b"from " + other.encode())
    if RANK == 0:
        expect_raised("a barrier without the others names them", dist.DistStoreError, "missing_ranks=[1]",
                      lambda: elastic.barrier(store, WORLD, "alone", 0.1, rank=0, trace_timeout=0.05))
    elastic.barrier(store, WORLD, "done", 120)


def rendezvous():
    """The addresses that a script may name: all lead to the launcher's store."""
    address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    for url in ("env://", f"tcp://{address}?rank={RANK}&world_size={WORLD}"):
        store, rank, size = next(dist.rendezvous(url))
        expect(url.split(":")[0], (rank, size), (RANK, WORLD))
        store.set(f"{url[:3]}{rank}", "here")
        expect("the other is there", store.get(f"{url[:3]}{1 - rank}"), b"here")


expect("launched by an agent", dist.is_torchelastic_launched(), True)
mine = client()
if RANK == 0:
    operations(dist.PrefixStore("prefix", mine))
    operations(mine)
    prefixes(mine)
    mine.set("rank 0 is through", "")
mine.wait(["rank 0 is through"], milliseconds(120000))  # it counts keys
together(mine)
rendezvous()
elastic.barrier(mine, WORLD, "end", 120)
print(f"asked {asked}")
sys.stdout.flush()
