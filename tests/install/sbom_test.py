"""The bill of materials of a release: python3 tests/install/sbom_test.py"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def bill(*wheels):
    made = subprocess.run(
        [sys.executable, ROOT / "packaging/sbom.py", "0.1.0", COMMIT, *wheels],
        env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}, capture_output=True, text=True, check=True)
    return json.loads(made.stdout)


@unittest.skipUnless(shutil.which("dpkg-query"), "no dpkg-query here")
class Bill(unittest.TestCase):
    def test_is_the_same_each_time_and_names_its_commit_and_time(self):
        self.assertEqual(bill(), bill())
        self.assertEqual(bill()["metadata"]["timestamp"], "2023-11-14T22:13:20Z")
        self.assertEqual(bill()["metadata"]["component"]["properties"], [{"name": "commit", "value": COMMIT}])

    def test_has_every_library_of_the_launcher_with_version_and_licence(self):
        components = bill()["components"]
        linked = subprocess.run(["bash", "-c", ". scripts/lib/packages.sh; boost_packages; launcher_library_packages"], cwd=ROOT,
                                capture_output=True, text=True, check=True).stdout.split()
        purls = " ".join(component["purl"] for component in components)
        for package in linked:
            if package.endswith("-dev"):
                self.assertIn(f"/{package}@", purls)
        for component in components:
            self.assertTrue(component["version"] and component["licenses"], component["name"])

    def test_has_what_a_trainers_wheel_carries(self):
        with tempfile.TemporaryDirectory() as folder:
            wheel = Path(folder) / "ferrun_worker-0.1.0+torch2.11-py3-none-manylinux_2_36_x86_64.whl"
            with zipfile.ZipFile(wheel, "w") as packed:
                packed.writestr("ferrun_worker/licenses/coreutils", "")  # of a package that every Debian has
                packed.writestr("ferrun_worker/lib/libcairo.so.2", "")
            added = [part["purl"] for part in bill(wheel)["components"] if part not in bill()["components"]]
        self.assertEqual([purl.partition("@")[0] for purl in added], ["pkg:deb/debian/libutf8proc-dev", "pkg:deb/debian/coreutils"])


if __name__ == "__main__":
    unittest.main()
