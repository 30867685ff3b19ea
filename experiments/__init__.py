"""Every claim about regularisation, shown: ``python -m experiments`` runs them all and writes one report.

One file is one experiment. It is a module with ``TITLE``, ``CLAIM`` (one sentence), ``FORMULA`` (LaTeX), ``DISCUSSION`` and four functions:

- ``data()`` draws or loads the data;
- ``fit(data)`` returns a NamedTuple of everything jaxreg computed, drawn or not;
- ``check(data, fit)`` yields a ``Check`` for each comparison with an independent figure (closed form, peer, published number);
  the tests flip the sign of every field of the fit in turn, and some check must then fail; and each check must fail for some change;
- ``figure(data, fit)`` draws the picture.

A common claim that is not confirmed here stays in: its check is shown as FAIL, ``DISCUSSION`` speaks of it, and ``UNCONFIRMED`` names it,
so that tests know it and the exit status is for what is new.

Bounds are of two kinds. Where two figures should be equal, the tolerance is what rounding or the peer's stopping rule leaves, and the code
says which. Where a claim is of size ("fewer", "rises"), the bound is what a reader would call a visible effect, often a factor of 2.

A new experiment is such a file and one line in ``EXPERIMENTS``.
"""

EXPERIMENTS = (
    "loss",
    "gradient",
    "shrinkage",
    "sparsity",
    "elastic_net",
    "l1_or_l2",
    "ridge",
    "logistic",
    "network",
    "weight_decay",
    "choosing_lambda",
)
