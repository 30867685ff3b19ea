"""Everything built in, in one report."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from .. import losses
from .._dtypes import x64_scope
from .._penalties import (
    L0,
    L1,
    L2,
    MCP,
    SCAD,
    SLOPE,
    Box,
    CappedL1,
    ElasticNet,
    ExclusiveLasso,
    GroupLasso,
    Huber,
    L2Norm,
    LInf,
    LogSum,
    NonNegative,
    Penalty,
    Zero,
)
from ._loss import loss
from ._penalty import penalty
from ._report import Report
from ._transforms import transforms


def cases() -> list[tuple[Penalty, Any]]:
    """The built-in penalties, placed and summed, each with the parameters to test it on (None: a vector of 4)."""
    with x64_scope():
        layer = {"bias": jnp.ones(1), "kernel": jnp.ones(3)}
        kernel = jnp.ones((2, 2))
        feature = jnp.array([0.3, 0.0, 1.2, 0.7])  # a strength for each number, one of them none
    groups = GroupLasso(0.6, groups=[0, 0, 1, 1])
    return [
        (L2(0.7), None),
        (L1(0.3), None),
        (L1(feature), None),
        (ElasticNet(0.7, l1_ratio=0.4), None),
        (groups, None),
        (Huber(0.7, delta=0.4), None),
        (L0(0.3), None),
        (CappedL1(0.5, cap=0.8), None),
        (LogSum(0.5, eps=0.6), None),
        (MCP(0.6, gamma=1.8), None),
        (SCAD(0.5, a=2.8), None),
        (L2Norm(0.7), None),
        (L2Norm(0.4, axis=0), kernel),
        (LInf(0.7), None),
        (LInf(0.7, axis=1), kernel),
        (ExclusiveLasso(0.7), None),
        (ExclusiveLasso(0.7, axis=0), kernel),
        (SLOPE(0.6, weights=[1.4, 0.9, 0.9, 0.2]), None),
        (SLOPE.oscar(2, lam=0.4).on("**/kernel").around(0.3), {"bias": jnp.ones(1), "kernel": jnp.ones(2)}),
        (Zero(), None),
        (NonNegative(), None),
        (Box(-0.5, 0.8), None),
        (L2(0.7).on("**/kernel"), layer),
        (GroupLasso(0.6, groups={"bias": 0, "kernel": np.array([0, 1, 1])}).around(0.4), layer),
        (L1(0.3).around(1.5), None),
        (L1(0.3) + L2(0.2), None),
        (L1(0.4) + NonNegative(), None),
        (L1(0.2) + groups + L2(0.3), None),
    ]


def all() -> Report:
    """Verify every built-in penalty (plain, placed and summed), loss and optax transform.

    Returns:
      the :class:`Report`; ``print(report.summary())`` shows one line for each subject.

    >>> from jaxreg import verify
    >>> report = verify.all()  # doctest: +SKIP
    >>> report.ok  # doctest: +SKIP
    True
    """
    report = Report()
    for p, params in cases():
        report += penalty(p, params)
    for data_term in (losses.SquaredError(), losses.Logistic(), losses.Multinomial()):
        report += loss(data_term)
    return report + transforms()
