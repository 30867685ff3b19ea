"""Consoles, progress and the output folder."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ._errors import UserError


def console(stderr: bool = False) -> Any:
    """A rich console that prints what it is given: column names may hold brackets or colons."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)


def note(text: str) -> None:
    """A remark on stderr, apart from the results."""
    from rich.text import Text

    console(stderr=True).print(Text(f"note: {text}", style="yellow"), soft_wrap=True)


@contextlib.contextmanager
def progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr as a callable ``(done, total)``."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True)) as bar:
        task = bar.add_task(title, total=None)

        def tell(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        try:
            yield tell
        except BaseException:
            bar.live.transient = True  # an error stands alone
            raise


def out_folder(given: Path | None, default: Path) -> Path:
    """The output folder, made when missing; asked before the work, so that none is lost."""
    path = (given or default).expanduser()
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"--out: {str(path)!r} cannot be a folder, a file is in the way; choose another with --out DIR") from None
    except OSError as error:
        raise UserError(f"--out: the folder {str(path)!r} cannot be written ({error.strerror}); choose another with --out DIR") from None
