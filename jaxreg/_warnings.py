"""What the library warns of."""


class ConvergenceWarning(UserWarning):
    """An answer did not reach its tolerance; the result says by how much."""


class GridEdgeWarning(UserWarning):
    """The best λ is the smallest of the grid: a better one may lie beyond it."""
