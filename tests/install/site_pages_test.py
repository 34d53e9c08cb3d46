"""The pages that scripts/docs gathers: python3 tests/install/site_pages_test.py"""

import importlib.util
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("site_pages", ROOT / "scripts/lib/site_pages.py")
site_pages = importlib.util.module_from_spec(spec)
spec.loader.exec_module(site_pages)


class Links(unittest.TestCase):
    pages = {"README.md": "index.md", "DESIGN.md": "DESIGN.md", "docs/slurm.md": "docs/slurm.md", "man/ferrun.1": "man/ferrun.1.md"}

    def links(self, text, *folder):
        return site_pages.with_links_of_site(text, folder, self.pages)

    def test_lead_to_the_page_that_the_file_has_become(self):
        self.assertEqual(self.links("[the manual](../man/ferrun.1#EXIT)", "docs"), "[the manual](../man/ferrun.1.md#EXIT)")
        self.assertEqual(self.links("[start](../README.md)", "docs"), "[start](../index.md)")
        self.assertEqual(self.links("[Slurm](docs/slurm.md)"), "[Slurm](docs/slurm.md)")

    def test_to_other_files_are_left_as_their_names(self):
        self.assertEqual(self.links("see [LICENSE](LICENSE)."), "see LICENSE.")

    def test_to_other_hosts_stay(self):
        self.assertEqual(self.links("[x](https://example.org/a)"), "[x](https://example.org/a)")


@unittest.skipUnless(shutil.which("mandoc"), "no mandoc here")
class Manual(unittest.TestCase):
    def test_has_every_section_as_a_heading(self):
        for name in site_pages.MANUAL:
            source = ROOT / "man" / name
            page = site_pages.manual_page(source)
            sections = sum(line.startswith((".SH ", ".SS ")) for line in source.read_text().splitlines())
            headings = sum(line.startswith(("## ", "### ")) for line in page.splitlines())
            self.assertGreater(sections, 5)
            self.assertEqual(headings, sections, name)
            self.assertEqual(page.count('<div class="manual"'), sections, name)
            self.assertEqual(page.count("<div"), page.count("</div>"), name)


class Site(unittest.TestCase):
    def test_names_every_page_in_its_contents(self):
        contents = (ROOT / "mkdocs.yml").read_text()
        with tempfile.TemporaryDirectory() as folder:
            if not shutil.which("mandoc"):
                self.skipTest("no mandoc here")
            site_pages.main(folder)
            for page in sorted(Path(folder).rglob("*.md")):
                self.assertIn(f": {page.relative_to(folder)}\n", contents)


if __name__ == "__main__":
    sys.exit(unittest.main())
