"""``jaxreg verify``: the library against autodiff, differences and oracles."""

from __future__ import annotations

import time
from collections.abc import Sequence

from . import _cache
from ._errors import find_penalty
from ._output import console, note, progress


def run(names: Sequence[str], full: bool) -> int:
    """The exit status: 1 if anything failed."""
    from .. import report
    from .._catalogue import entries, name_of

    known = dict.fromkeys(name_of(entry.kind) for entry in entries())
    keys = [find_penalty("NAME", name, known) for name in names]
    say = console()
    with _cache.compilation(note):
        from .. import verify

        started = time.perf_counter()
        with progress("verifying") as tell:
            found = verify.all(progress=tell) if not keys else verify.catalogue(keys, progress=tell)
        seconds = time.perf_counter() - started
    say.print(report.verification_table(found.rows, full))
    subjects = len({row.subject for row in found.rows})
    failed = [row for row in found.rows if row.status == "FAIL"]
    verdict = f"{len(failed)} FAILED" if failed else "all hold"
    say.print(f"{len(found.rows)} properties of {subjects} subjects in {seconds:.0f} s: {verdict}.")
    for row in failed:
        say.print(f"FAIL {row.subject}, {row.property}: error {row.error:.1e} (at most {row.tolerance:.1e}) at {row.where}", soft_wrap=True)
    return 1 if failed else 0
