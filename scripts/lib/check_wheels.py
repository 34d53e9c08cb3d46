"""Says whether a virtual environment holds the pinned wheels, whole: check_wheels.py FOLDER REQUIREMENTS

Compares every file's size with the one in the wheel's own list (RECORD), which takes a fraction of a second where
hashing a gigabyte would not. Exit status 1 and one line on stdout when something is missing.
"""

import csv
import glob
import os
import re
import sys


def canonical(name):
    return re.sub(r"[-_.]+", "_", name).lower()


def pinned(requirements):
    with open(requirements, encoding="utf-8") as lines:
        for line in lines:
            match = re.match(r"([A-Za-z0-9._-]+)==([^\s\\]+)", line)
            if match:
                yield match.groups()


def installed(site):
    """Maps (name, version) to the folder that describes the installed wheel."""
    found = {}
    for folder in glob.glob(os.path.join(site, "*.dist-info")):
        name, _, version = os.path.basename(folder)[: -len(".dist-info")].partition("-")
        found[canonical(name), version] = folder
    return found


def first_damage(site, record):
    with open(record, encoding="utf-8", newline="") as rows:
        for path, _, size in csv.reader(rows):
            if not size:
                continue
            try:
                actual = os.stat(os.path.join(site, path)).st_size
            except OSError:
                return f"{path} is missing"
            # Programs of the environment are rewritten when it is moved to its final name.
            moved = path.startswith("../../../bin/")
            if actual != int(size) and not moved:
                return f"{path} has {actual} bytes instead of {size}"
    return None


def problem(folder, requirements):
    sites = glob.glob(os.path.join(folder, "lib", "python3*", "site-packages"))
    if len(sites) != 1:
        return "not installed"
    found = installed(sites[0])
    for name, version in pinned(requirements):
        described = found.get((canonical(name), version))
        record = described and os.path.join(described, "RECORD")
        if not record or not os.path.exists(record):
            return f"{name} {version} is missing"
        damage = first_damage(sites[0], record)
        if damage:
            return damage
    return None


def main():
    verdict = problem(sys.argv[1], sys.argv[2])
    if verdict:
        print(verdict)
    sys.exit(1 if verdict else 0)


main()
