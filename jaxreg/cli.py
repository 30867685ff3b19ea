"""The ``jaxreg`` command: ``jaxreg path``, ``jaxreg train`` and ``jaxreg verify``, thin over the library."""

from ._cli import main as main

if __name__ == "__main__":
    raise SystemExit(main())
