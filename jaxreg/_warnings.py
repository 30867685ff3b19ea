"""What the library warns of."""


class ConvergenceWarning(UserWarning):
    """An answer did not reach its tolerance; the result says by how much."""
