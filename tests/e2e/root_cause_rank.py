"""Rank 1 raises, loses its connection to rank 0 as its interpreter ends, and takes long over the rest; rank 0 notices.

How rank 1 goes on is the argument: "ends" once rank 0's process is gone, or "hangs" until somebody ends it.
"""
import atexit
import os
import signal
import socket
import sys
import time

# Of this launch and attempt.
PEER = f'{os.environ["DIR"]}/{os.environ["FERRUN_LAUNCH_ID"]}-{os.environ["TORCHELASTIC_RESTART_COUNT"]}'
RANK = int(os.environ["RANK"])
HOW = sys.argv[1]


def is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def take_long(peer, pid):
    peer.close()
    while HOW == "ends" and is_there(pid):
        time.sleep(0.01)
    if HOW == "hangs":
        signal.pause()


def culprit():
    server = socket.socket(socket.AF_UNIX)
    server.bind(PEER + "-new")
    server.listen()
    os.rename(PEER + "-new", PEER)
    peer, _ = server.accept()
    atexit.register(take_long, peer, int(peer.recv(64)))
    raise ValueError("bad label in sample 17")


def victim():
    while not os.path.exists(PEER):
        time.sleep(0.01)
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(PEER)
    peer.send(str(os.getpid()).encode())
    if not peer.recv(1):
        raise ConnectionResetError("Connection closed by peer")


if RANK == 0:
    victim()
if RANK == 1:
    culprit()
signal.pause()
