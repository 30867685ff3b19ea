"""What the README shows: its examples run, its table is the library's, its pictures and commands exist."""

import pathlib
import re

import pytest

import jaxreg
from jaxreg._cli._penalties import families, kinds

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("number", range(4))
def test_examples_run(number, capsys):
    assert len(EXAMPLES) == 4
    exec(compile(EXAMPLES[number], f"README example {number}", "exec"), {})
    assert capsys.readouterr().out or "print(" not in EXAMPLES[number]


def test_convention_table_is_the_librarys():
    assert jaxreg.conventions.table().strip() in README


def test_table_of_penalties_is_the_catalogues():
    assert families() in README
    assert set(re.findall(r"`(\w+)`", families())) == {entry.kind.__name__ for entry in kinds().values()}


def test_pictures_exist():
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / picture).read_bytes().startswith(b"\x89PNG")
