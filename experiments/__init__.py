"""Every claim about regularisation, shown: ``python -m experiments`` runs them all and writes one report.

One file is one experiment. It is a module with ``TITLE``, ``CLAIM`` (one sentence), ``FORMULA`` (LaTeX), ``DISCUSSION`` and four functions:

- ``data()`` draws or loads the data;
- ``fit(data)`` returns a NamedTuple of everything jaxreg computed, drawn or not;
- ``check(data, fit)`` yields a ``Check`` for each comparison with an independent figure (closed form, peer, published number);
  the tests flip the sign of every field of the fit in turn, and some check must then fail;
- ``figure(data, fit)`` draws the picture.

A common claim that the data refute stays in: its check is shown as FAIL, ``DISCUSSION`` says why, and ``REFUTED`` names it, so that the
tests know it and the exit status is for what is new.

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
