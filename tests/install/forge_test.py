"""The workflows of a public forge do what .ci/run does: python3 tests/install/forge_test.py"""

import re
import subprocess
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUN = (ROOT / ".ci/run").read_text()
CI = (ROOT / ".github/workflows/ci.yml").read_text()
RELEASE = (ROOT / ".github/workflows/release.yml").read_text()


def phases_of_run():
    return set(re.findall(r"^phase_([\w.-]+)\(\)", RUN, re.M))


def phases_by_default():
    return re.search(r"^if \(\(\$# == 0\)\); then set -- (.*); fi$", RUN, re.M).group(1).split()


def phases_of_forge():
    jobs = re.search(r"^ +phase: \[(.*)\]$", CI, re.M).group(1).split(",")
    return [phase for job in jobs for phase in job.split()]


class Phases(unittest.TestCase):
    def test_of_the_forge_are_those_of_run(self):
        self.assertLessEqual(set(phases_of_forge()), phases_of_run())
        self.assertEqual(len(phases_of_forge()), len(set(phases_of_forge())))

    def test_that_run_takes_by_default_run_on_the_forge(self):
        self.assertLessEqual(set(phases_by_default()) - {"setup"}, set(phases_of_forge()))

    def test_are_each_described_at_the_head_of_run(self):
        described = set(re.findall(r"^#   ([\w.-]+) +\S", RUN, re.M))
        self.assertEqual(described, phases_of_run())


class Scripts(unittest.TestCase):
    def test_that_workflows_call_are_there_and_know_the_options(self):
        calls = re.findall(r"(?<![\w./])((?:scripts|packaging|\.ci)/[\w-]+)((?: --[\w-]+)*)", CI + RELEASE)
        self.assertIn("scripts/release", [script for script, _ in calls])
        for script, options in calls:
            self.assertTrue((ROOT / script).is_file(), script)
            for option in options.split():
                self.assertIn(option, (ROOT / script).read_text(), script)


class Packages(unittest.TestCase):
    def test_are_those_that_a_release_is_made_with(self):
        installed = " ".join(re.findall(r"apt-get install -y --no-install-recommends (.*)", RELEASE)).split()
        listed = subprocess.run(["bash", "-c", ". scripts/lib/packages.sh; packaging_packages"], cwd=ROOT, check=True,
                                capture_output=True, text=True).stdout.split()
        for needed in ("dpkg-dev", "qemu-user-static"):
            self.assertIn(needed, listed)
            self.assertIn(needed, installed)


if __name__ == "__main__":
    unittest.main()
