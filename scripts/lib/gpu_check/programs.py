"""Whether the programs start here, find their libraries, and say what is missing."""

import re
import shutil

from gpu_check.machine import Unavailable, Wrong, nvidia_smi


def start(machine):
    said = [machine.run([program, "--version"]).splitlines()[0] for program in (machine.ferrun, machine.worker)]
    return ", ".join(said), {}


def plug_in(machine):
    plug_in_file = machine.bin / "libferrun_cuda.so"
    if not plug_in_file.exists():
        raise Unavailable("not built: CMake says what is missing")
    said = machine.run(["ldd", "-r", plug_in_file], status=None)
    # The driver's own library is on machines with a driver alone.
    unresolved = [line.strip() for line in said.splitlines() if re.search(r"undefined symbol|not found", line)]
    unresolved = [line for line in unresolved if "libcuda.so.1" not in line]
    if unresolved:
        raise Wrong(f"{len(unresolved)} symbols or libraries are missing, first: {unresolved[0]}")
    return f"{len(said.splitlines())} libraries and all symbols found", {}


def refusal(machine, worker, ranks):
    """The one line of `--device cuda` on so many ranks, of which all must fail alike."""
    said = machine.run(
        [machine.ferrun, f"--nproc-per-node={ranks}", worker, "--device", "cuda", "--epochs", "1", "--faces", "8",
         "--output-dir", machine.work / "refused"],
        status=None)
    lines = [line for line in said.splitlines() if "worker: --device cuda: " in line]
    if len(lines) != 1:
        raise Wrong(f"{len(lines)} lines tell why --device cuda is not possible on {ranks} ranks; the last words: "
                    f"{said.splitlines()[-1] if said else 'none'}")
    return lines[0].split("worker: ")[1]


def without_plug_in(machine):
    """The worker in a folder of its own, where no plug-in is."""
    folder = machine.work / "bare" / "bin"
    folder.mkdir(parents=True)
    shutil.copy2(machine.worker, folder / "worker")
    if machine.packed:
        (machine.work / "bare" / "lib").symlink_to(machine.root / "lib")
    return folder / "worker"


def device_words(machine):
    said = {"no plug-in": refusal(machine, without_plug_in(machine), 2)}
    if (machine.bin / "libferrun_cuda.so").exists():
        gpus = machine.facts["gpus"]
        said["no driver" if gpus == 0 else "too many ranks"] = refusal(machine, machine.worker, gpus + 1 if gpus else 2)
    return "one line each for " + ", ".join(said), {"lines": said}


def doctor(machine):
    """The launcher's own look at the machine; nobody listens at the address that it asks for."""
    said = machine.run([machine.ferrun, "doctor", "--rdzv-endpoint=127.0.0.1:29400"], status=None)
    findings = [line.strip() for line in said.splitlines() if line.strip()]
    told = [line for line in findings if re.search("NVIDIA|GPU", line)]
    if not findings or "see ferrun --help" in findings[0]:
        raise Wrong(f"ferrun doctor says: {findings[0] if findings else 'nothing'}")
    if not machine.on_gpu or not nvidia_smi("name"):
        return f"{len(findings)} lines", {"doctor": findings}
    if not told:
        raise Wrong("ferrun doctor says nothing of the GPU")
    counted = machine.run([machine.ferrun, "--dry-run", "--nproc-per-node=gpu", "true"])
    workers = re.search(r"workers: +(\d+)", counted)
    if not workers or int(workers[1]) != machine.facts["gpus"]:
        raise Wrong(f"--nproc-per-node=gpu counts {workers[1] if workers else 'none'}, torch {machine.facts['gpus']}")
    return f"{told[0]}; --nproc-per-node=gpu counts as torch does", {"doctor": findings}
