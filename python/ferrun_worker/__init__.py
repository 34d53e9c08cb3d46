"""ferrun-worker: the trainer ``worker``, a native program that takes LibTorch from the torch of this environment.

The program is compiled for one minor version of torch (``ferrun_worker.build.TORCH``), whose C++ interface it uses: it
starts with this one and refuses another by name. torch itself is not imported.
"""

import os
import re
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Dict, List, NoReturn, Optional, Tuple

from ferrun_worker.build import TORCH


class NoTorch(Exception):
    """Why the program cannot start: one line for a person."""


def find_torch() -> Tuple[Path, str]:
    """The folder of this environment's torch, and its version; NoTorch when there is none."""
    spec = find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        raise NoTorch(f"no torch for {sys.executable}: pip install 'torch=={TORCH}.*'")
    folder = Path(spec.submodule_search_locations[0])
    try:
        found = re.search(r"^__version__\s*=\s*['\"]([^'\"]+)", (folder / "version.py").read_text(), re.MULTILINE)
    except OSError:
        found = None
    if found is None or not (folder / "lib/libtorch_cpu.so").exists():
        raise NoTorch(f"{folder} is no whole torch: pip install --force-reinstall 'torch=={TORCH}.*'")
    return folder, found.group(1)


def check(version: str, folder: Path) -> None:
    """NoTorch unless the program is for this version."""
    minor = ".".join(version.split("+")[0].split(".")[:2])
    if minor != TORCH:
        own = metadata.version("ferrun-worker").split("+")[0]
        raise NoTorch(
            f"this ferrun-worker is for torch {TORCH}, and {folder} is {version}: "
            f"pip install 'torch=={TORCH}.*', or the ferrun-worker for torch {minor}, if there is one: 'ferrun-worker=={own}+torch{minor}'"
        )


def environment(torch: Path, own: Path) -> Dict[str, str]:
    """That of this process; with more in it only where torch or the fonts are not where the program looks by itself."""
    variables = dict(os.environ)
    if not (own.parent / "torch").exists() or not (own.parent / "torch").samefile(torch):
        already: Optional[str] = variables.get("LD_LIBRARY_PATH")
        variables["LD_LIBRARY_PATH"] = f"{torch}/lib:{already}" if already else f"{torch}/lib"
    if not Path("/etc/fonts/fonts.conf").exists() and (own / "fonts/fonts.conf").exists():
        variables.setdefault("FONTCONFIG_FILE", str(own / "fonts/fonts.conf"))
    return variables


def become(arguments: List[str]) -> NoReturn:
    """Replaces this process by the program: signals and the exit status are its own."""
    own = Path(__file__).resolve().parent
    program = str(own / "bin/worker")
    try:
        torch, version = find_torch()
        check(version, torch)
        sys.stdout.flush()
        os.execve(program, [program, *arguments], environment(torch, own))
    except (NoTorch, OSError) as error:
        sys.exit(f"worker: {error}")


def main() -> NoReturn:
    become(sys.argv[1:])
