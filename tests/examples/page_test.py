"""The C++ of docs/ddp.md and docs/ddp-migration.md is that of tests/examples/ddp_page.cc, which is compiled and run, and
the page's first program that of tests/e2e/install/ddp_program, which is built against an installation."""

import re
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["docs/ddp.md", "docs/ddp-migration.md"]


def bare(code):
    """Without comments, without white space: clang-format lays the compiled file out, and a page as it likes."""
    return re.sub(r"\s+", "", re.sub(r"//[^\n]*", "", code))


def compiled_sections():
    """What ddp_page.cc has for each heading of each page."""
    sections = {}
    source = (ROOT / "tests/examples/ddp_page.cc").read_text()
    for page, heading, code in re.findall(r"^ *// page (\S+): ([^\n]+)\n(.*?)// end\n", source, re.DOTALL | re.MULTILINE):
        sections[page, heading] = sections.get((page, heading), "") + bare(code)
    return sections


def of_page(page):
    """(heading, language, code) of each block, and (heading, "table", code) of each C++ span of a table's second column."""
    heading = ""
    for part in re.split(r"(^```.*?^```$)", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE):
        if part.startswith("```"):
            language, code = re.match(r"```(\w*)\n(.*)```", part, re.DOTALL).groups()
            yield heading, language, code
            continue
        for line in part.splitlines():
            if line.startswith("#"):
                heading = line.lstrip("# ")
            elif line.startswith("| "):
                for span in re.findall(r"`([^`]+)`", line.split(" | ", 1)[1]):
                    if "(" in span and ("ddp::" in span or span.endswith(";")):
                        yield heading, "table", span


def missing_part(code, compiled):
    """The first part of `code`, which "…" separates, that does not follow the parts before it in `compiled`."""
    place = 0
    for part in filter(None, bare(code).split("…")):
        found = compiled.find(part, place)
        if found < 0:
            return part
        place = found + len(part)
    return None


class Pages(unittest.TestCase):
    def test_say_what_is_compiled(self):
        sections = compiled_sections()
        seen = 0
        for page in PAGES:
            for heading, language, code in of_page(page):
                if language not in ("cpp", "table") or "#include" in code:
                    continue
                with self.subTest(page=page, heading=heading, code=code):
                    self.assertIsNone(missing_part(code, sections.get((page, heading), "")))
                seen += 1
        self.assertGreater(seen, 40)

    def test_begin_with_the_program_that_is_built_out_of_tree(self):
        blocks = [(language, code) for heading, language, code in of_page("docs/ddp.md") if heading == "A program"]
        folder = ROOT / "tests/e2e/install/ddp_program"
        self.assertEqual((folder / "CMakeLists.txt").read_text(), dict(blocks)["cmake"])
        programs = [code for language, code in blocks if language == "cpp" and "#include" in code]
        self.assertEqual([(folder / "train.cc").read_text()], programs)

    def test_compare_each_block_for_itself(self):
        self.assertIsNone(missing_part("a(); … c();", bare("a(); b(); c();")))
        self.assertEqual(missing_part("c(); … a();", bare("a(); b(); c();")), "a();")
        self.assertEqual(missing_part("x();  // why", bare("y();")), "x();")


if __name__ == "__main__":
    unittest.main()
