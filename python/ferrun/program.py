"""Where the native program is, and how it is started."""

import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Dict, Iterator, List, NoReturn


def _candidates() -> Iterator[Path]:
    scripts = sysconfig.get_path("scripts")
    if scripts:
        yield Path(scripts)
    yield Path(__file__).resolve().parents[1] / "bin"  # pip install --target
    if "posix_user" in sysconfig.get_scheme_names():
        yield Path(sysconfig.get_path("scripts", "posix_user"))


def find_program() -> str:
    """The path of ``ferrun``: the one that was installed with this package, else the one in ``PATH``.

    Raises FileNotFoundError, which says where it was looked for.
    """
    folders = list(_candidates())
    for folder in folders:
        program = folder / "ferrun"
        if os.access(program, os.X_OK) and program.is_file():
            return str(program)
    found = shutil.which("ferrun")
    if found is not None:
        return found
    looked = ", ".join(str(folder) for folder in folders)
    raise FileNotFoundError(f"no program ferrun in {looked} nor in PATH: pip install --force-reinstall ferrun")


def environment() -> Dict[str, str]:
    """That of this process, with this Python as the one that runs scripts, unless PYTHON_EXEC names another."""
    variables = dict(os.environ)
    if not variables.get("PYTHON_EXEC") and sys.executable:
        variables["PYTHON_EXEC"] = sys.executable
    return variables


def become(arguments: List[str]) -> NoReturn:
    """Replaces this process by the program: signals and the exit status are its own."""
    try:
        program = find_program()
    except FileNotFoundError as error:
        sys.exit(f"ferrun: {error}")
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(program, [program, *arguments], environment())
