"""What the command line says when something is wrong: one line that names the argument, the fault and the remedy."""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Iterable
from typing import Any


class UserError(Exception):
    """A fault in what the user gave; its message is all they see."""


def one_line(error: BaseException) -> str:
    """An exception's message without line breaks."""
    text = " ".join(str(error).split())
    return text or type(error).__name__


def unknown(what: str, given: str, known: Iterable[str], extra: str = "") -> UserError:
    """An unknown name, with the known ones and the nearest guess."""
    known = list(known)
    close = difflib.get_close_matches(given, known, n=1)
    guess = f" (did you mean {close[0]!r}?)" if close else ""
    return UserError(f"{what}: unknown {given!r}{guess}; known: {', '.join(known)}{extra}")


def find_penalty(what: str, given: str, known: Iterable[str], extra: str = "") -> str:
    """The command line's name of a penalty, from that or its class's, in any case: ``GroupLasso``, ``group_lasso``, ``group-lasso``."""
    bare = {_bare(name): name for name in known}
    found = bare.get(_bare(given))
    if found is None:
        close = difflib.get_close_matches(_bare(given), bare, n=1)
        guess = f" (did you mean {bare[close[0]]!r}?)" if close else ""
        raise UserError(f"{what}: no penalty is called {given!r}{guess}; `jaxreg penalties` lists them all{extra}")
    return found


def _bare(name: str) -> str:
    return re.sub(r"[-_\s]", "", name).lower()


def need(module: str, package: str, purpose: str) -> Any:
    """Import an optional dependency, or say how to install it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != module.split(".")[0]:
            raise
        raise UserError(f"{purpose} needs {package}, which is not installed; run: python -m pip install 'jaxreg[app]'") from error


def listed(names: Iterable[Any], most: int = 8) -> str:
    """Names for a message, shortened when there are many."""
    names = [repr(n) if isinstance(n, str) else str(n) for n in names]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
