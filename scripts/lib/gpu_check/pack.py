"""Makes the folder that travels to a machine with a GPU."""

import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile

MOST_MIB = 60
PROGRAMS = ("ferrun", "worker", "step_rounds")
# What every machine with a glibc and torch has, and has to be its own: the C library and the compiler's.
SYSTEM = re.compile(r"^(ld-linux.*|lib(c|m|dl|rt|pthread|util|resolv|stdc\+\+|gcc_s)\.so\..*|linux-vdso.*)$")
# LibTorch's and NVIDIA's, which come from the Python on the machine with the GPU.
FROM_PYTHON = re.compile(r"^lib(torch.*|c10.*|gomp|shm|caffe2.*|cu[a-zA-Z]+|nccl|nv[a-zA-Z].*)\.so")
FONTS_CONF = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir prefix="relative">.</dir><cachedir prefix="xdg">fontconfig</cachedir></fontconfig>
"""


class Problem(Exception):
    """Why there is no pack: one line for a person."""


def tool(words, what):
    try:
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Problem(f"{what} needs {words[0]}: scripts/setup --with-dev-tools installs it") from None
    if done.returncode != 0:
        raise Problem(f"{what}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def libraries_of(program):
    """What travels with it: {name: path}. A library that is not found here is no matter where Python's torch has it."""
    found = {}
    for line in tool(["ldd", program], f"the libraries of {program}").splitlines():
        name, _, rest = line.strip().partition(" => ")
        name = os.path.basename(name.split(" (")[0])
        if SYSTEM.match(name) or FROM_PYTHON.match(name):
            continue
        path = rest.split(" (")[0]
        if path == "not found":
            raise Problem(f"{program} needs {name}, which is not on this machine")
        if path.startswith("/") and "/site-packages/" not in path:
            found[name] = pathlib.Path(path)
    return found


def add_program(source, folder, libraries):
    copy = folder / "bin" / source.name
    shutil.copy2(source, copy)
    if b"\x7fELF" != copy.read_bytes()[:4]:
        raise Problem(f"{source} is no program")
    own = libraries_of(source)
    libraries.update(own)
    if own or source.suffix == ".so" or source.name != "ferrun":
        tool(["patchelf", "--set-rpath", "$ORIGIN/../lib", copy], "a pack")
    tool(["strip", "--strip-unneeded", copy], "a pack")


def add_libraries(libraries, folder):
    for name, path in libraries.items():
        copy = folder / "lib" / name
        shutil.copy2(path.resolve(), copy)
        copy.chmod(0o755)
        tool(["patchelf", "--set-rpath", "$ORIGIN", copy], "a pack")


def add_font(folder):
    """For the worker's plots: the other machine may have none."""
    font = pathlib.Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")
    if font.exists():
        (folder / "fonts").mkdir()
        shutil.copy2(font, folder / "fonts")
        (folder / "fonts" / "fonts.conf").write_text(FONTS_CONF)


def add_scripts(root, folder):
    shutil.copytree(root / "scripts" / "lib" / "gpu_check", folder / "scripts" / "lib" / "gpu_check",
                    ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("scripts/gpu-check", "bench/peer_trainer.py", "tests/parity/emotion_net.py", "LICENSE"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, folder / name)
    (folder / "gpu-check").symlink_to("scripts/gpu-check")


def mebibytes(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()) / 2**20


def fill(root, bin_folder, plug_in, faces, folder):
    for name in ("bin", "lib"):
        (folder / name).mkdir(parents=True)
    libraries = {}
    for program in (*(bin_folder / name for name in PROGRAMS), plug_in):
        if program:
            add_program(program, folder, libraries)
    add_libraries(libraries, folder)
    add_font(folder)
    add_scripts(root, folder)
    if faces:
        shutil.copytree(faces, folder / "faces")


def find_plug_in(root, bin_folder):
    for path in (bin_folder / "libferrun_cuda.so", root / "build" / "cuda" / "bin" / "libferrun_cuda.so"):
        if path.exists():
            return path
    return None


def make(root, bin_folder, faces, target):
    """Writes the pack and says what it holds; 0. A target that exists is left alone."""
    if (root / "bin").is_dir():
        raise Problem(f"{root} is a pack itself; packs are made where ferrun is built")
    for name in PROGRAMS:
        if not (bin_folder / name).exists():
            raise Problem(f"no program {bin_folder / name}: build ferrun, or name the folder with --bin")
    if target.exists():
        raise Problem(f"{target} exists: remove it, or choose another name")
    plug_in = find_plug_in(root, bin_folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".gpu-check.", dir=target.parent.resolve()) as name:
        folder = pathlib.Path(name) / "ferrun-gpu-check"
        fill(root, bin_folder, plug_in, faces, folder)
        size = mebibytes(folder)
        if size > MOST_MIB:
            raise Problem(f"the pack would have {size:.0f} MiB, and {MOST_MIB} are the most: give fewer --faces")
        if "".join(target.suffixes[-2:]) == ".tar.gz":
            with tarfile.open(target, "w:gz") as archive:
                archive.add(folder, folder.name)
        else:
            folder.rename(target)
    print(f"gpu-check: packed {size:.1f} MiB into {target}, "
          f"{'with the CUDA plug-in' if plug_in else 'without a CUDA plug-in: this build has none (CMake says why)'}")
    name = "ferrun-gpu-check" if target.suffix == ".gz" else target.name
    print(f"gpu-check: on the machine with the GPU: {name}/gpu-check --python PYTHON-WITH-TORCH-2.11")
    return 0
