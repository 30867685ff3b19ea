"""The command line. What only some commands need (matplotlib, pandas, scikit-learn) is imported inside them."""

from ._main import main as main
