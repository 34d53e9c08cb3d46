"""Gathers the pages of the site, for MkDocs: site_pages.py FOLDER

Pages lie as in the sources, so that their links lead to the same places; README.md is the first page. Manual pages become
HTML by mandoc, with Markdown's headings, so that the search finds their sections. Links to files that are no pages are
left as their names.
"""

import html
import re
import shutil
import subprocess
import sys
from pathlib import Path

TOP = ["DESIGN.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"]
MANUAL = ["ferrun.1", "ferrun-rendezvous.7", "worker.1"]
LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]+)(#[^)]*)?\)")
SECTION = re.compile(r'<h([12]) class="S[hs]" id="([^"]*)"><a[^>]*>(.*?)</a></h[12]>', re.DOTALL)


def manual_page(source):
    rendered = subprocess.run(
        ["mandoc", "-T", "html", "-O", "fragment", source], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    name, _, section = source.name.rpartition(".")
    body = re.sub(r"</?section[^>]*>", "", rendered[rendered.index('<div class="manual-text">') + 25 :])
    body = body[: body.rindex('<table class="foot">')].rstrip().removesuffix("</div>")
    # Between two headings lies one block of HTML, which Markdown leaves alone.
    parts = SECTION.split(body)
    lines = [f"# {name}({section})"]
    for level, anchor, title, content in zip(parts[1::4], parts[2::4], parts[3::4], parts[4::4]):
        title = html.unescape(re.sub(r"<[^>]*>", "", " ".join(title.split())))
        lines.append(f"{'#' * (int(level) + 1)} {title.capitalize() if title.isupper() else title}")
        lines.append(f'<div class="manual" id="{anchor}">\n{content.strip()}\n</div>')
    return "\n\n".join(lines) + "\n"


def with_links_of_site(text, folder, pages):
    def replace(link):
        words, target, anchor = link.groups()
        if "://" in target or target.startswith("mailto:"):
            return link.group()
        path = Path(*folder, target)
        clean = []
        for part in path.parts:
            if part == "..":
                clean.pop()
            else:
                clean.append(part)
        found = pages.get("/".join(clean))
        if found is None:
            return words
        up = "../" * len(folder)
        return f"[{words}]({up}{found}{anchor or ''})"

    return LINK.sub(replace, text)


def main(out):
    root = Path(__file__).resolve().parents[2]
    pages = {"README.md": "index.md"}
    pages.update({name: name for name in TOP})
    pages.update({f"docs/{page.name}": f"docs/{page.name}" for page in sorted(root.glob("docs/*.md"))})
    pages.update({f"man/{name}": f"man/{name}.md" for name in MANUAL})
    shutil.rmtree(out, ignore_errors=True)
    for source, page in pages.items():
        target = Path(out, page)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.startswith("man/"):
            target.write_text(manual_page(root / source))
        else:
            target.write_text(with_links_of_site((root / source).read_text(), Path(source).parent.parts, pages))


if __name__ == "__main__":
    main(sys.argv[1])
