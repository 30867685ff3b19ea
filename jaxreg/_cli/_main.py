"""The entry point: runs the app and turns every error into one line and an exit status."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Sequence

from ._errors import UserError, one_line


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0, 1 (a verification failed), 2 (an error) or 130 (interrupted)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that knows no λ shows a question mark rather than failing.
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="replace")  # pyright: ignore[reportAttributeAccessIssue]
    try:
        from ._app import app

        status = app(args=arguments or ["--help"], prog_name="jaxreg", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except KeyboardInterrupt:
        print("jaxreg: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader went away (`jaxreg verify | head`); Python must not complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if "--debug" in arguments:
            traceback.print_exc()
        print(f"jaxreg: error: {_message(error)}", file=sys.stderr)
        return 130 if type(error).__name__ == "Abort" else 2


def _message(error: Exception) -> str:
    if isinstance(error, UserError):
        return one_line(error)
    if isinstance(error, ModuleNotFoundError) and error.name in ("typer", "rich"):
        return f"the command line needs {error.name}, which is not installed; run: python -m pip install 'jaxreg[app]'"
    if hasattr(error, "format_message"):  # typer's own: a missing argument, an unknown option
        text = " ".join(error.format_message().split())  # pyright: ignore[reportAttributeAccessIssue]
        return f"{text.rstrip('.')}; see jaxreg --help"
    if type(error).__name__ == "Abort":
        return "interrupted"
    hint = "" if isinstance(error, ValueError | MemoryError) else " (--debug shows where)"
    return f"{type(error).__name__}: {one_line(error)}{hint}" if hint else one_line(error)
