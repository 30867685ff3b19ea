"""Runs experiments one by one; what an experiment raises fails that experiment alone."""

from __future__ import annotations

import importlib
import inspect
import io
import time
import traceback
from types import ModuleType
from typing import NamedTuple

from jaxreg._dtypes import x64_scope

from . import _style
from ._check import Check, Status

# What an experiment may do without: any other import that fails is a mistake.
PEERS = ("sklearn", "torch")


class Result(NamedTuple):
    """One experiment: what it claims, its checks, its picture (PNG), the seconds it took and the code that made it."""

    name: str
    title: str
    claim: str
    formula: str
    discussion: str
    checks: tuple[Check, ...]
    picture: bytes
    seconds: float
    code: str
    unconfirmed: tuple[str, ...] = ()

    @property
    def status(self) -> Status:
        found = {check.status for check in self.checks}
        return "FAIL" if "FAIL" in found else "PASS" if "PASS" in found else "not run"

    @property
    def surprises(self) -> list[Check]:
        """The checks that fail although nothing says that they would."""
        return [check for check in self.checks if check.status == "FAIL" and check.what not in self.unconfirmed]


def load(name: str) -> ModuleType:
    return importlib.import_module(f"{__package__}.{name}")


def run(name: str) -> Result:
    """Run one experiment, in float64 unless it asks for less."""
    start = time.perf_counter()
    module: ModuleType | None = None
    checks: list[Check] = []
    picture = b""
    try:
        module = load(name)
        with x64_scope(), _style.style():
            data = module.data()
            fit = module.fit(data)
            checks.extend(module.check(data, fit))
            buffer = io.BytesIO()
            module.figure(data, fit).savefig(buffer, format="png", dpi=130)
            picture = buffer.getvalue()
    except Exception as error:  # one broken experiment must not hide the others: it is reported as failed
        if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] in PEERS:
            checks.append(Check("the experiment as a whole", f"{error.name} is not installed", "", "not run"))
        else:
            traceback.print_exc()
            checks.append(Check("the experiment as a whole", f"{type(error).__name__}: {error}", "no error", "FAIL"))
    seconds = time.perf_counter() - start
    parts = (getattr(module, part, name if part == "TITLE" else "") for part in ("TITLE", "CLAIM", "FORMULA", "DISCUSSION"))
    code = inspect.getsource(module) if module else ""
    return Result(name, *parts, tuple(checks), picture, seconds, code, getattr(module, "UNCONFIRMED", ()))
