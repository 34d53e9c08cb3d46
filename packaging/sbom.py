"""The bill of materials of a release, in CycloneDX's form, on standard output: sbom.py VERSION COMMIT [WORKER_WHEEL...]

It lists what is inside the launcher's binary: the libraries come from this distribution's packages, whose versions are
asked for here, and the C++ library is this distribution's in its own packages, Zig's in the wheels. Of the trainer's wheels it
lists the libraries that they carry, by the packages whose copyright notes lie in them.
"""

import datetime
import json
import os
import re
import subprocess
import sys
import uuid
import zipfile
from pathlib import Path

# The distribution's package (the first that is installed), the library, its licence.
LIBRARIES = [
    (["libboost1.81-dev", "libboost-dev"], "boost", "BSL-1.0"),
    (["libcli11-dev"], "CLI11", "BSD-3-Clause"),
    (["nlohmann-json3-dev"], "nlohmann-json", "MIT"),
    (["libspdlog-dev"], "spdlog", "MIT"),
    (["libfmt-dev"], "fmt", "MIT"),
    (["libsodium-dev"], "libsodium", "ISC"),
    (["libstdc++-12-dev", "libstdc++-13-dev", "libstdc++-14-dev"], "libstdc++", "GPL-3.0-or-later WITH GCC-exception-3.1"),
]


# What is linked into the trainer besides.
WORKER_LIBRARIES = [(["libutf8proc-dev"], "utf8proc", "MIT")]


def installed_version(packages):
    for package in packages:
        asked = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True, check=False
        )
        if asked.returncode == 0 and asked.stdout:
            return package, asked.stdout
    sys.exit(f"sbom: none of these packages is installed: {', '.join(packages)}")


def component(package, version, name, licence=None):
    of_package = {"type": "library", "name": name, "version": version, "purl": f"pkg:deb/debian/{package}@{version}"}
    if licence:
        of_package["licenses"] = [{"expression": licence}]
    return of_package


def packages_in(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    return sorted(name.rpartition("/")[2] for name in names if name.startswith("ferrun_worker/licenses/") and name[-1] != "/")


def zig_libcxx():
    pins = (Path(__file__).resolve().parents[1] / "scripts/requirements-packaging.txt").read_text()
    version = re.search(r"^ziglang==(\S+)", pins, re.MULTILINE).group(1)
    return {
        "type": "library",
        "name": "libc++ and libunwind of ziglang (wheels)",
        "version": version,
        "purl": f"pkg:pypi/ziglang@{version}",
        "licenses": [{"expression": "Apache-2.0 WITH LLVM-exception"}],
    }


def main(version, commit, *worker_wheels):
    components = [component(*installed_version(packages), name, licence) for packages, name, licence in LIBRARIES]
    components.append(zig_libcxx())
    if worker_wheels:
        components += [component(*installed_version(packages), name, licence) for packages, name, licence in WORKER_LIBRARIES]
        carried = sorted({package for wheel in worker_wheels for package in packages_in(wheel)})
        components += [component(*installed_version([package]), f"{package} (trainer's wheel)") for package in carried]
    made = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, 'ferrun ' + commit)}",
        "version": 1,
        "metadata": {
            "timestamp": made.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application",
                "name": "ferrun",
                "version": version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
                "properties": [{"name": "commit", "value": commit}],
            },
        },
        "components": components,
    }
    json.dump(bill, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main(*sys.argv[1:])
