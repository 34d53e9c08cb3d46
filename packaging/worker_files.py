"""Puts the trainer and the libraries that it needs besides LibTorch into a package's folder: worker_files.py BIN FOLDER

BIN is the build's folder of programs. FOLDER gets bin/, lib/ with this distribution's libraries, fonts/, lib/ferrun/ with
the CUDA plug-in where the build has one, and licenses/ with the copyright notes of the libraries' packages.
"""

import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts/lib"))
from gpu_check import pack  # noqa: E402


def add_licenses(libraries, folder):
    (folder / "licenses").mkdir()
    for path in libraries.values():
        asked = subprocess.run(["dpkg-query", "-S", f"*/{path.name}"], capture_output=True, text=True, check=True)
        package = asked.stdout.split(":")[0]
        shutil.copyfile(f"/usr/share/doc/{package}/copyright", folder / "licenses" / package)


def main(programs, folder):
    for name in ("bin", "lib"):
        (folder / name).mkdir(parents=True)
    libraries = {}
    pack.add_program(programs / "worker", folder, libraries)
    # Torch lies beside the package in the usual environment.
    pack.tool(["patchelf", "--set-rpath", "$ORIGIN/../lib:$ORIGIN/../../torch/lib", folder / "bin/worker"], "the package")
    plug_in = programs / "libferrun_cuda.so"
    if plug_in.exists():
        (folder / "lib/ferrun").mkdir()
        copy = Path(shutil.copy2(plug_in, folder / "lib/ferrun"))
        pack.tool(["patchelf", "--set-rpath", "$ORIGIN/../../../torch/lib", copy], "the package")
        pack.tool(["strip", "--strip-unneeded", copy], "the package")
    pack.add_libraries(libraries, folder)
    for copy in [folder / "bin/worker", *folder.glob("lib/*.so*")]:
        pack.tool(["strip", "--strip-unneeded", copy], "the package")
    pack.add_font(folder)
    add_licenses(libraries, folder)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except pack.Problem as problem:
        sys.exit(f"worker-wheel: error: {problem}")
