"""README.md and docs/*.md: links, files, tests and options that they name exist."""

import functools
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def anchor(heading):
    """The fragment that a heading is linked by."""
    text = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return text.replace(" ", "-")


@functools.cache
def anchors(path):
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {anchor(heading) for heading in headings}


@pytest.fixture(params=PAGES, ids=lambda path: f"{path.parent.name}/{path.name}")
def page(request):
    return request.param


def test_links_lead_to_files_and_headings(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if link.startswith("http"):
            continue
        name, _, fragment = link.partition("#")
        target = (page.parent / name) if name else page
        assert target.exists(), link
        assert not fragment or fragment in anchors(target), link


def test_commands_name_scripts_and_configurations_that_exist(page):
    names = re.findall(
        r"\b(?:scripts|utils|tests|kerasloc)/[\w/]+\.\w+", page.read_text()
    )
    files = [name for name in names if "NAME" not in name]
    assert [name for name in files if not (ROOT / name).exists()] == []


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text()
    for page in PAGES[1:]:
        assert page.name == "README.md" or f"({page.name})" in index


def test_every_deviation_names_tests_that_exist():
    text = "".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    tests = set(re.findall(r"def (test_\w+)", text))
    rows = (ROOT / "docs" / "deviations.md").read_text().split("|---|\n")[-1]
    for row in rows.splitlines():
        names = re.findall(r"`(test_\w+)`", row)
        assert names, row
        assert set(names) <= tests, set(names) - tests


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_bytes()) <= 8 * 1024
