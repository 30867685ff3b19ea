"""What the README shows: its examples run, its table is the library's, its pictures and commands exist."""

import pathlib
import re

import pytest

import jaxreg

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("number", range(3))
def test_examples_run(number, capsys):
    assert len(EXAMPLES) == 3
    exec(compile(EXAMPLES[number], f"README example {number}", "exec"), {})
    assert capsys.readouterr().out


def test_convention_table_is_the_librarys():
    assert jaxreg.conventions.table().strip() in README


def test_pictures_exist():
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / picture).read_bytes().startswith(b"\x89PNG")
