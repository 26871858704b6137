"""The demo counts what it says it counts, and its report is whole, valid and safe."""

from __future__ import annotations

import ast
import csv
from html.parser import HTMLParser
from pathlib import Path

import pytest

from durable_wf.cli import demo_report as report
from durable_wf.cli import demo_survey as survey

LIBRARY = {
    "alpha.py": '"""A module."""\nimport os, sys\n\n\ndef f(x):\n    # why\n    return x\n',
    "beta/__init__.py": "from os import path\nfrom . import inner\n",
    "beta/inner.py": (
        "import os.path\n\nclass C:\n    '''Doc.'''\n    def g(self, a):\n"
        "        if a and self:\n            return [x for x in a if x]\n        return 0\n"
    ),
    "broken.py": "def (:\n",
    "beta/test/test_x.py": "x = 1\n",
    "test/x.py": "x = 1\n",
    "site-packages/x.py": "x = 1\n",
    "not-a-name.py": "x = 1\n",
    "data/readme.txt": "text",
}


@pytest.fixture
def library(tmp_path):
    """A standard library of three packages."""
    for name, text in LIBRARY.items():
        path = tmp_path / "lib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(tmp_path / "lib")


@pytest.fixture
def counted(library):
    """Its survey."""
    listed = survey.list_modules(library)
    parts = [survey.parse(library, name, files) for name, files in listed.items()]
    return survey.merge(*parts, root=library, python="3.99.0")


def test_modules_are_listed_by_package_and_tests_are_left_out(library):
    assert survey.list_modules(library) == {
        "alpha": ["alpha.py"],
        "beta": ["beta/__init__.py", "beta/inner.py"],
        "broken": ["broken.py"],
    }
    assert survey.packages(library) == ["alpha", "beta", "broken"]


def test_a_part_counts_lines_functions_classes_and_docstrings(library):
    part = survey.parse(library, "beta", ["beta/__init__.py", "beta/inner.py"])
    assert (part["modules"], part["lines"], part["code"]) == (2, 10, 9)
    assert (part["functions"], part["classes"], part["documented"]) == (1, 1, 1)
    assert part["imports"] == {"os": 2}
    assert part["worst"] == [{"name": "g", "module": "beta.inner", "line": 5, "branching": 5}]


def test_comments_are_not_code_and_blank_lines_are_neither(library):
    part = survey.parse(library, "alpha", ["alpha.py"])
    assert (part["lines"], part["code"], part["comments"]) == (7, 4, 1)


def test_a_file_that_cannot_be_parsed_is_named_and_the_rest_is_counted(library):
    part = survey.parse(library, "mixed", ["broken.py", "alpha.py"])
    assert part["unreadable"] == ["broken.py"]
    assert part["modules"] == 1


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ("pass", 1),
        ("if a: pass", 2),
        ("if a: pass\n  elif b: pass\n  else: pass", 3),
        ("for x in a:\n    while x: pass", 3),
        ("return a and b and c", 3),
        ("return 1 if a else 2", 2),
        ("return [x for x in a]", 2),
        ("try: pass\n  except A: pass\n  except B: pass", 3),
        ("match a:\n    case 1: pass\n    case _: pass", 3),
    ],
)
def test_each_fork_adds_a_path(body, paths):
    assert survey.branching(ast.parse(f"def f(a, b, c):\n  {body}")) == paths


def test_the_merge_sums_up_and_puts_the_largest_first(counted):
    total = counted["total"]
    assert [part["package"] for part in counted["parts"]] == ["beta", "alpha", "broken"]
    assert (total["modules"], total["functions"], total["code"]) == (3, 2, 13)
    assert total["imports"] == {"os": 3, "sys": 1}
    assert total["unreadable"] == ["broken.py"]
    assert sum(total["histogram"].values()) == total["functions"]
    assert [f["branching"] for f in total["worst"]] == [5, 1]


class Balance(HTMLParser):
    """Notes tags that are left open, and every address that a page would load."""

    OPEN = frozenset({"meta", "line", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.loads += [value for name, value in attrs if name in {"src", "href"}]
        if tag not in self.OPEN:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.OPEN:
            assert self.open.pop() == tag


def test_the_page_is_balanced_and_loads_nothing(counted):
    page = report.page(counted)
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    assert balance.loads == []
    assert "<script" not in page
    assert "prefers-color-scheme: dark" in page


def test_names_from_files_cannot_become_markup(counted):
    counted["parts"][0]["package"] = counted["root"] = "<img src=x onerror=alert(1)>"
    counted["total"]["unreadable"] = ["<script>.py"]
    page = report.page(counted)
    assert "<img" not in page
    assert "<script" not in page


def test_an_empty_library_still_makes_a_page():
    page = report.page(survey.merge(root="nowhere", python="3.99.0"))
    assert "nothing to show" in page


def test_the_csv_holds_one_row_for_each_package(counted, tmp_path):
    path = report.write_csv(counted, str(tmp_path))
    rows = list(csv.DictReader(Path(path).read_text().splitlines()))
    assert [row["package"] for row in rows] == ["beta", "alpha", "broken"]
    assert rows[0]["code"] == "9"


def test_writing_again_replaces_the_file_and_leaves_nothing_beside_it(counted, tmp_path):
    first = Path(report.write_html(counted, str(tmp_path))).read_text()
    second = Path(report.write_html(counted, str(tmp_path))).read_text()
    assert first == second
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["report.html"]
