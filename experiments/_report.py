"""One HTML file with everything inline: it opens without a network and can be sent by mail."""

from __future__ import annotations

import base64
import importlib.metadata
import platform
from collections.abc import Sequence
from pathlib import Path

import jax
import latex2mathml.converter
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from ._run import Result

CODE = HtmlFormatter(style="friendly", cssclass="code")


def html(results: Sequence[Result]) -> str:
    """The report of these results as a page."""
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    versions = f"jaxreg {importlib.metadata.version('jaxreg')}, jax {jax.__version__} on {jax.default_backend()}"
    environment.filters["formula"] = lambda latex: Markup(latex2mathml.converter.convert(latex, display="block"))
    environment.filters["highlighted"] = lambda code: Markup(highlight(code, PythonLexer(), CODE))
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    return environment.get_template("_report.html.jinja").render(
        results=results,
        checks=[check for result in results for check in result.checks],
        surprises=sum(len(result.surprises) for result in results),
        seconds=sum(result.seconds for result in results),
        code_css=Markup(CODE.get_style_defs(".code")),
        versions=f"{versions}, Python {platform.python_version()}",
    )
