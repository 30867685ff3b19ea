"""The catalogue of penalties: what the tests, ``jaxreg verify``, docs/penalties.md and the command line's names are made from."""

from ._entry import Definition as Definition
from ._entry import Entry as Entry
from ._entry import name_of as name_of
from ._foreign import FOREIGN as FOREIGN
from ._foreign import Foreign as Foreign
from ._table import entries as entries
from ._table import sections as sections
