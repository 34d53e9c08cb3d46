#!/usr/bin/env python3
"""Starts one worker on each of many hosts by ssh, with ferrun, MPICH's Hydra and Open MPI, whichever are installed.

    bench/hosts_bench.py BUILD/bin [--hosts 64] [--rounds 5]

The hosts are network namespaces of this machine (scripts/hosts), each with an sshd of its own, so this machine pays for
both ends of every connection. The launchers take turns. Prints, for each, the median time from its start until the last
worker runs, and the median ratio to ferrun's of the same round. Needs root, ip and sshd; no other hosts may be up.
"""

import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Its rank is in the launcher's own variable.
WORKER = 'date +%s%N > "$0/$RANK$PMI_RANK$OMPI_COMM_WORLD_RANK"'
SSHD = """Port 22
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
StrictModes no
UsePAM no
PermitRootLogin yes
MaxStartups 1000
PidFile none
"""
SSH = """Host *
  IdentityFile {folder}/user
  IdentitiesOnly yes
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  LogLevel ERROR
  BatchMode yes
"""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=pathlib.Path, help="the folder with ferrun")
    parser.add_argument("--hosts", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def at(host, *command):
    return [str(ROOT / "scripts/hosts"), "run", host, *command]


def start_sshd(folder, hosts):
    pathlib.Path("/run/sshd").mkdir(exist_ok=True)
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
    (folder / "sshd_config").write_text(SSHD.format(folder=folder))
    (folder / "ssh_config").write_text(SSH.format(folder=folder))
    for host in hosts:
        subprocess.run(at(host, shutil.which("sshd", path="/usr/sbin:/usr/bin"), "-f", f"{folder}/sshd_config"), check=True)


def launchers(ferrun, folder, hosts):
    ssh = f"ssh -F {folder}/ssh_config"
    wrapper = folder / "ssh"
    wrapper.write_text(f'#!/bin/sh\nexec {ssh} "$@"\n')
    wrapper.chmod(0o755)
    (folder / "hosts").write_text("".join(f"{host}\n" for host in hosts))
    worker = ["sh", "-c", WORKER, str(folder / "marks")]
    found = {"ferrun": [ferrun, "--hosts=" + ",".join(hosts), "--nproc-per-node=1", "--ssh=" + ssh, "--no-python", *worker]}
    if hydra := shutil.which("mpiexec.hydra"):
        found["Hydra"] = [hydra, "-launcher", "ssh", "-launcher-exec", wrapper, "-f", folder / "hosts", "-ppn", "1",
                          "-n", str(len(hosts)), *worker]
    if openmpi := shutil.which("mpirun.openmpi"):
        found["Open MPI"] = [openmpi, "--allow-run-as-root", "--hostfile", folder / "hosts", "-n", str(len(hosts)), "--mca",
                             "plm_rsh_agent", ssh, "--mca", "plm_rsh_no_tree_spawn", "1", *worker]
    return found


def seconds_to_last(command, folder, hosts):
    marks = folder / "marks"
    shutil.rmtree(marks, ignore_errors=True)
    marks.mkdir()
    begin = time.time_ns()
    ended = subprocess.run(at(hosts[0], *map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    times = [int(mark.read_text()) for mark in marks.iterdir()]
    if ended.returncode != 0 or len(times) != len(hosts):
        sys.exit(f"{command[0]}: {len(times)} of {len(hosts)} workers ran: {ended.stderr[-500:]}")
    return (max(times) - begin) / 1e9


def main():
    options = arguments()
    hosts = [f"node{number}" for number in range(options.hosts)]
    subprocess.run([ROOT / "scripts/hosts", "up", str(options.hosts)], check=True, stdout=subprocess.DEVNULL)
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            start_sshd(folder, hosts)
            commands = launchers(options.bin.resolve() / "ferrun", folder, hosts)
            seconds = {launcher: [] for launcher in commands}
            for number in range(options.rounds):
                order = list(commands) if number % 2 == 0 else list(reversed(commands))
                for launcher in order:
                    seconds[launcher].append(seconds_to_last(commands[launcher], folder, hosts))
    finally:
        subprocess.run([ROOT / "scripts/hosts", "down"], check=True, stdout=subprocess.DEVNULL)
    print(f"{options.hosts} hosts, until the last worker runs, {options.rounds} rounds")
    for launcher, times in seconds.items():
        ratio = statistics.median(own / ferruns for own, ferruns in zip(times, seconds["ferrun"]))
        print(f"  {launcher:10} {statistics.median(times):6.2f} s  ({min(times):.2f} to {max(times):.2f})  {ratio:.2f} x ferrun")


if __name__ == "__main__":
    os.umask(0o022)
    main()
