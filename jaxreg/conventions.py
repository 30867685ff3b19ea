"""What other libraries' λ mean here: each conversion names the same optimum, none is applied unasked.

jaxreg minimises ``loss + penalty`` exactly as written, so a conversion that depends on the loss's own scale returns both,
as a :class:`Problem`; one that only concerns the penalty returns the penalty.

>>> from jaxreg import conventions
>>> conventions.from_sklearn_lasso(alpha=0.1)
Problem(loss=SquaredError(reduction='half_mean'), penalty=L1(lam=0.1))
>>> conventions.from_weight_decay(0.01)
L2(lam=0.005)

References:
  scikit-learn user guide, §1.1 (Ridge, Lasso, ElasticNet, LogisticRegression); Friedman, Hastie and Tibshirani,
  Regularization paths for generalized linear models via coordinate descent, 2010, and the glmnet vignette and elnet sources;
  Loshchilov and Hutter, Decoupled weight decay regularization, 2019; the documentation of PyTorch, optax, Keras and jaxopt.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from . import losses
from ._penalties import L1, L2, ElasticNet, Penalty, Zero
from ._penalties._arithmetic import check_numbers, check_strength


class Problem(NamedTuple):
    """A loss and a penalty that are minimised together: ``loss(X @ w + b, y) + penalty(w)``, b not penalised."""

    loss: losses.Loss
    penalty: Penalty


class Row(NamedTuple):
    """One line of :data:`TABLE`: what a library calls λ, what it minimises, and the same thing in jaxreg."""

    library: str
    argument: str
    objective: str
    jaxreg: str


def _check_strength(who: str, name: str, value: Any) -> None:
    check_strength(f"{who}: {name}", value)


def _check_ratio(who: str, name: str, value: Any) -> None:
    check_numbers(f"{who}: {name}", value, lambda x: (x >= 0) & (x <= 1), "in [0, 1]")


def _check_positive(who: str, name: str, value: Any) -> None:
    check_numbers(f"{who}: {name}", value, lambda x: x > 0, "> 0")


# --- scikit-learn ----------------------------------------------------------------------------------------------------


def from_sklearn_ridge(alpha: Any) -> Problem:
    """``Ridge(alpha)`` minimises ``Σ(y − Xw − b)² + alpha·Σw²``, which is the sum of squares with ``L2(alpha)``.

    Args:
      alpha: >= 0, a number (scikit-learn's array holds one for each target; convert each by itself).

    Raises:
      ValueError: ``alpha`` is negative or not finite.

    >>> from_sklearn_ridge(2.0)
    Problem(loss=SquaredError(reduction='sum'), penalty=L2(lam=2.0))
    """
    _check_strength("from_sklearn_ridge", "alpha", alpha)
    return Problem(losses.SquaredError("sum"), L2(alpha))


def from_sklearn_lasso(alpha: Any) -> Problem:
    """``Lasso(alpha)`` minimises ``Σ(y − Xw − b)²/(2n) + alpha·Σ|w|``.

    Args:
      alpha: >= 0.

    Raises:
      ValueError: ``alpha`` is negative or not finite.

    >>> from_sklearn_lasso(0.5).penalty
    L1(lam=0.5)
    """
    _check_strength("from_sklearn_lasso", "alpha", alpha)
    return Problem(losses.SquaredError("half_mean"), L1(alpha))


def from_sklearn_elastic_net(alpha: Any, l1_ratio: Any = 0.5) -> Problem:
    """``ElasticNet(alpha, l1_ratio)`` minimises ``Σ(y − Xw − b)²/(2n) + alpha·(l1_ratio·Σ|w| + ½(1 − l1_ratio)·Σw²)``.

    Args:
      alpha: >= 0.
      l1_ratio: the share of L1, in [0, 1].

    Raises:
      ValueError: ``alpha`` is negative or not finite, or ``l1_ratio`` is outside [0, 1].

    >>> from_sklearn_elastic_net(0.5, l1_ratio=0.25).penalty
    ElasticNet(lam=0.5, l1_ratio=0.25)
    """
    _check_strength("from_sklearn_elastic_net", "alpha", alpha)
    _check_ratio("from_sklearn_elastic_net", "l1_ratio", l1_ratio)
    return Problem(losses.SquaredError("half_mean"), ElasticNet(alpha, l1_ratio))


def from_sklearn_logistic(C: Any, penalty: str | None = "l2", l1_ratio: Any = None) -> Problem:
    """``LogisticRegression(C, penalty)`` minimises ``C·Σ log-loss + ½Σw²`` (l2) or ``C·Σ log-loss + Σ|w|`` (l1).

    Divide by C: ``Σ log-loss + Σw²/(2C)`` is ``L2(1/(2C))``, ``Σ log-loss + Σ|w|/C`` is ``L1(1/C)``, and the elastic net
    ``C·Σ log-loss + l1_ratio·Σ|w| + ½(1 − l1_ratio)·Σw²`` is ``ElasticNet(1/C, l1_ratio)``. With more than two classes the
    penalty is the same beside ``losses.Multinomial("sum")``. (The liblinear solver penalises the intercept as well.)

    Args:
      C: inverse strength, > 0.
      penalty: ``"l2"``, ``"l1"``, ``"elasticnet"`` or None, scikit-learn's names.
      l1_ratio: the share of L1, for ``"elasticnet"`` and only there.

    Raises:
      ValueError: ``C <= 0``, an unknown name, ``l1_ratio`` missing, out of [0, 1] or given to another penalty.

    >>> from_sklearn_logistic(C=2.0)
    Problem(loss=Logistic(reduction='sum'), penalty=L2(lam=0.25))
    >>> from_sklearn_logistic(C=2.0, penalty="l1").penalty
    L1(lam=0.5)
    """
    who = "from_sklearn_logistic"
    _check_positive(who, "C", C)
    if penalty not in ("l2", "l1", "elasticnet", None):
        raise ValueError(f"{who}: penalty must be 'l2', 'l1', 'elasticnet' or None, got {penalty!r}")
    if (penalty == "elasticnet") != (l1_ratio is not None):
        raise ValueError(f"{who}: l1_ratio belongs to penalty='elasticnet' and is needed there, got {l1_ratio!r} with {penalty!r}")
    if penalty is None:
        return Problem(losses.Logistic("sum"), Zero())
    if penalty == "elasticnet":
        _check_ratio(who, "l1_ratio", l1_ratio)
        return Problem(losses.Logistic("sum"), ElasticNet(1 / C, l1_ratio))
    return Problem(losses.Logistic("sum"), L2(1 / (2 * C)) if penalty == "l2" else L1(1 / C))


# --- glmnet ----------------------------------------------------------------------------------------------------------


def from_glmnet_gaussian(lam: Any, alpha: Any = 1.0, y_sd: Any = 1.0) -> Problem:
    """``glmnet(X, y, family="gaussian", lambda=lam, alpha=alpha, standardize=FALSE)`` on the scale of the data.

    glmnet divides y by its standard deviation s (1/n, not 1/(n − 1)), divides λ by s with it, and minimises over w* = w/s::

        Σ(y/s − Xw*)²/(2n) + (λ/s)·(α·Σ|w*| + ½(1 − α)·Σw*²)

    Times s², in terms of w = s·w*: ``Σ(y − Xw)²/(2n) + λ·α·Σ|w| + (λ/s)·½(1 − α)·Σw²``. The L1 part is the λ that was asked
    for; the L2 part is divided by s, which is why glmnet's ridge does not look like anyone else's. So ``L1(lam·alpha)`` and
    ``L2(lam·(1 − alpha)/(2·y_sd))`` beside the half mean. With ``standardize=TRUE`` (its default) that is the problem for the
    columns divided by their own standard deviations (1/n).

    Args:
      lam: glmnet's lambda, >= 0.
      alpha: glmnet's alpha, the share of L1, in [0, 1].
      y_sd: standard deviation of y with denominator n (``numpy.std(y)``), > 0; 1 if y has been scaled already.

    Raises:
      ValueError: a number outside its domain.

    >>> problem = from_glmnet_gaussian(0.5, alpha=0.2, y_sd=2.0)
    >>> problem.penalty.formula()
    '0.1·Σ|w| + 0.1·Σw²'
    """
    who = "from_glmnet_gaussian"
    _check_strength(who, "lam", lam)
    _check_ratio(who, "alpha", alpha)
    _check_positive(who, "y_sd", y_sd)
    return Problem(losses.SquaredError("half_mean"), L1(lam * alpha) + L2(lam * (1 - alpha) / (2 * y_sd)))


def from_glmnet_penalty_factor(factors: Any) -> np.ndarray:
    """glmnet's ``penalty.factor`` as it is used: rescaled to sum to the number of columns, ``factors·p/Σfactors``.

    jaxreg takes factors as they are given, so pass the result as ``penalty_factor`` or as per-column strengths
    (``L1(lam * from_glmnet_penalty_factor(factors))``).

    Args:
      factors: (p,) numbers >= 0, not all zero. glmnet leaves a column with an infinite factor out: drop it.

    Raises:
      ValueError: negative or infinite factors, all of them zero, or no vector.

    >>> from_glmnet_penalty_factor([0.0, 1.0, 1.0]).tolist()
    [0.0, 1.5, 1.5]
    """
    values = np.asarray(factors, dtype=float)
    if values.ndim != 1:
        raise ValueError(f"from_glmnet_penalty_factor: factors must be a vector, got shape {values.shape}")
    _check_strength("from_glmnet_penalty_factor", "factors", values)
    if not values.any():
        raise ValueError("from_glmnet_penalty_factor: at least one factor must be positive")
    return values * (values.size / values.sum())


# --- optimizers' weight decay ----------------------------------------------------------------------------------------

_OPTIMIZERS = ("sgd", "adam", "adamw")


def from_weight_decay(d: Any, optimizer: str = "sgd") -> L2:
    """``weight_decay=d`` of PyTorch and optax adds or subtracts ``d·w``, the gradient ``2·lam·w`` of ``L2(d/2)``.

    The strength is the same for each optimizer; where the penalty belongs is not::

        "sgd"    torch.optim.SGD(weight_decay=d)        the objective, or transforms.coupled, or decoupled: all equal
        "adam"   torch.optim.Adam(weight_decay=d)       the objective, or transforms.coupled
        "adamw"  torch.optim.AdamW, optax.adamw         transforms.decoupled with the same learning rate

    Args:
      d: the decay, >= 0: a number, or a pytree prefix for per-layer decay.
      optimizer: one of the three names; anything else may scale its decay differently and is refused.

    Raises:
      ValueError: ``d`` is negative or not finite, or the name is unknown.

    >>> from_weight_decay(0.01, "adamw")
    L2(lam=0.005)
    """
    if optimizer not in _OPTIMIZERS:
        raise ValueError(f"from_weight_decay: optimizer must be one of {_OPTIMIZERS}, got {optimizer!r}")
    _check_strength("from_weight_decay", "d", d)
    return L2(jax.tree.map(lambda x: x / 2, d))


def to_weight_decay(penalty: Penalty) -> Any:
    """The ``weight_decay`` that stands for ``L2(lam)``: ``2·lam``, of the shape of ``lam``.

    Raises:
      ValueError: any other penalty; ``L2(lam).on(where)`` is ``weight_decay=2·lam`` with a mask, which is yours to pass on.

    >>> from jaxreg import L2
    >>> to_weight_decay(L2(0.005))
    0.01
    """
    if not isinstance(penalty, L2):
        raise ValueError(f"to_weight_decay: only L2(lam) is a weight decay, got {penalty!r}; pass a mask for a selection")
    return jax.tree.map(lambda x: 2 * x, penalty.lam)


# --- Keras and jaxopt ------------------------------------------------------------------------------------------------


def from_keras_l1(l1: Any) -> L1:
    """``keras.regularizers.L1(l1)`` is ``l1·Σ|w|``.

    Raises:
      ValueError: ``l1`` is negative or not finite.

    >>> from_keras_l1(0.01)
    L1(lam=0.01)
    """
    _check_strength("from_keras_l1", "l1", l1)
    return L1(l1)


def from_keras_l2(l2: Any) -> L2:
    """``keras.regularizers.L2(l2)`` is ``l2·Σw²``, without a ½.

    Raises:
      ValueError: ``l2`` is negative or not finite.

    >>> from_keras_l2(0.01)
    L2(lam=0.01)
    """
    _check_strength("from_keras_l2", "l2", l2)
    return L2(l2)


def from_keras_l1_l2(l1: Any = 0.0, l2: Any = 0.0) -> Penalty:
    """``keras.regularizers.L1L2(l1, l2)`` is ``l1·Σ|w| + l2·Σw²``.

    Raises:
      ValueError: ``l1`` or ``l2`` is negative or not finite.

    >>> from_keras_l1_l2(0.01, 0.02)
    L1(lam=0.01) + L2(lam=0.02)
    """
    _check_strength("from_keras_l1_l2", "l1", l1)
    _check_strength("from_keras_l1_l2", "l2", l2)
    return L1(l1) + L2(l2)


def from_jaxopt_prox_ridge(l2reg: Any) -> L2:
    """``jaxopt.prox.prox_ridge(x, l2reg, scaling)`` returns ``x/(1 + scaling·l2reg)``: the prox of ``½·l2reg·Σw²``.

    Its documentation says ``l2reg·Σw²``; the code is half of that. So ``L2(l2reg/2)``.

    Raises:
      ValueError: ``l2reg`` is negative or not finite.

    >>> from_jaxopt_prox_ridge(1.0).prox(3.0).item()  # 3/(1 + 1)
    1.5
    """
    _check_strength("from_jaxopt_prox_ridge", "l2reg", l2reg)
    return L2(l2reg / 2)


# --- the table -------------------------------------------------------------------------------------------------------

TABLE: tuple[Row, ...] = (
    Row("scikit-learn", "Ridge(alpha)", "Σ(y−η)² + alpha·Σw²", 'SquaredError("sum") + L2(alpha)'),
    Row("scikit-learn", "Lasso(alpha)", "Σ(y−η)²/(2n) + alpha·Σ|w|", 'SquaredError("half_mean") + L1(alpha)'),
    Row(
        "scikit-learn",
        "ElasticNet(alpha, l1_ratio)",
        "Σ(y−η)²/(2n) + alpha·(l1_ratio·Σ|w| + ½(1−l1_ratio)·Σw²)",
        'SquaredError("half_mean") + ElasticNet(alpha, l1_ratio)',
    ),
    Row("scikit-learn", 'LogisticRegression(C), "l2"', "C·Σ log-loss + ½Σw²", 'Logistic("sum") + L2(1/(2C))'),
    Row("scikit-learn", 'LogisticRegression(C), "l1"', "C·Σ log-loss + Σ|w|", 'Logistic("sum") + L1(1/C)'),
    Row(
        "scikit-learn",
        'LogisticRegression(C, l1_ratio), "elasticnet"',
        "C·Σ log-loss + l1_ratio·Σ|w| + ½(1−l1_ratio)·Σw²",
        'Logistic("sum") + ElasticNet(1/C, l1_ratio)',
    ),
    Row(
        "glmnet",
        "gaussian, lambda, alpha",
        "Σ(y/s−Xw*)²/(2n) + (λ/s)·(α·Σ|w*| + ½(1−α)·Σw*²), s = sd(y), w = s·w*",
        'SquaredError("half_mean") + L1(λα) + L2(λ(1−α)/(2s))',
    ),
    Row("glmnet", "penalty.factor = v", "factors vⱼ·p/Σv", "conventions.from_glmnet_penalty_factor(v)"),
    Row("PyTorch", "SGD(weight_decay=d)", "g + d·w", "L2(d/2)"),
    Row("PyTorch", "Adam(weight_decay=d)", "g + d·w, before the moments", "transforms.coupled(L2(d/2))"),
    Row("PyTorch", "AdamW(weight_decay=d)", "w − lr·d·w, beside the step", "transforms.decoupled(L2(d/2), lr)"),
    Row("optax", "adamw(weight_decay=d)", "w − lr·d·w, beside the step", "transforms.decoupled(L2(d/2), lr)"),
    Row("optax", "add_decayed_weights(d)", "g + d·w", "transforms.coupled(L2(d/2))"),
    Row("Keras", "regularizers.L2(l2)", "l2·Σw²", "L2(l2)"),
    Row("Keras", "regularizers.L1(l1)", "l1·Σ|w|", "L1(l1)"),
    Row("Keras", "regularizers.L1L2(l1, l2)", "l1·Σ|w| + l2·Σw²", "L1(l1) + L2(l2)"),
    Row("jaxopt", "prox_ridge(l2reg)", "½·l2reg·Σw² (documented without ½)", "L2(l2reg/2)"),
)


def table() -> str:
    """:data:`TABLE` as a markdown table.

    >>> print(table().splitlines()[2])
    | scikit-learn | `Ridge(alpha)` | Σ(y−η)² + alpha·Σw² | `SquaredError("sum") + L2(alpha)` |
    """
    lines = ["| library | argument | what it minimises, or does | in jaxreg |", "|---|---|---|---|"]
    for row in TABLE:
        objective = row.objective.replace("|", "\\|")  # a bare bar would end the cell
        lines.append(f"| {row.library} | `{row.argument}` | {objective} | `{row.jaxreg}` |")
    return "\n".join(lines)
