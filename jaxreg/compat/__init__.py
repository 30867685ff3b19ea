"""Other libraries' interfaces over jaxreg's penalties, for code that moves here."""

from . import jaxopt as jaxopt
