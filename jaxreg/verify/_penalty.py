"""Every law of the penalty contract, held against one penalty."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._dtypes import x64_scope
from .._penalties import Penalty, UnknownOperation
from . import _claims as claims
from . import _denials as denials
from . import _derivatives as derivatives
from . import _duality as duality
from . import _proximal as proximal
from . import _sets as sets
from ._report import Report, judge
from ._subject import Definition, Subject, has_derived_gradient, parts


def penalty(
    p: Penalty,
    params: Any = None,
    definition: Definition | None = None,
    sample: Definition | None = None,
    only: Collection[str] | str | None = None,
) -> Report:
    """Hold a penalty's value, gradient, prox, subdifferential, conjugate, λ_max and class facts against each other.

    Gradients are compared with ``jax.grad`` and with central differences; the prox with a global search of
    ``argmin_z ½‖z − v‖² + step·p(z)`` at several steps; the conjugate with a search of ``sup_w ⟨u, w⟩ − p(w)``; the
    subdifferential with one-sided slopes. The searches see nothing of the penalty but its value. What it claims for sums
    (``terms``, ``role``, ``cone``, ``covers``, ``free``) is held against values and against the prox of its sums with
    ``L2``, ``L1`` and ``Box``. What its class denies (``convex = False``, and so for ``smooth``, ``separable``, ``finite``) must be false
    somewhere. All in float64.

    Args:
      p: any penalty, a user's own included.
      params: a pytree that says which leaves and shapes to test on (and one point to test at); the default is a vector of
        4. A penalty that is not separable takes at most 4 numbers, because its search is a grid over all of them.
      definition: the value written once more, by somebody else, in NumPy: of vectors (…, n), the parameters flattened, (…). For a
        set: how far outside a vector is, 0 inside.
      sample: for a set, a map in NumPy from any numbers (…, n) to points of the set (…, n) that reaches all of it. A projection
        is then searched for among such points, since a grid meets no set that has no volume.
      only: the property or properties to check, as the report names them; None for all.

    Returns:
      a :class:`Report` with a row for each property. A member that the penalty does not define is "not given"; a gradient
      that comes from autodiff is "derived". What raises anything but ``UnknownOperation`` fails.

    Raises:
      TypeError: ``p`` is no penalty.
      ValueError: ``params`` is missing and the penalty takes no vector of 4; ``params`` holds no floating-point leaf, or too many
        numbers for a penalty that is not separable; ``only`` names a property that does not apply.

    >>> import jaxreg
    >>> from jaxreg import verify
    >>> report = verify.penalty(jaxreg.L1(0.3))
    >>> report.ok, {row.status for row in report.rows}
    (True, {'pass'})
    """
    if not isinstance(p, Penalty):
        raise TypeError(f"expected a jaxreg penalty, got {p!r}")
    only = {only} if isinstance(only, str) else only
    with x64_scope():
        if params is None:
            _check_default(p)
        s = Subject(p, jnp.zeros(4) if params is None else params, definition, sample)
        checks: dict[str, Any] = {
            "value in float32": derivatives.value_in_float32,
            "NaN is not hidden": derivatives.nan_is_not_hidden,
            "grad vs autodiff": lambda s: derivatives.grad_against_autodiff(s, has_derived_gradient(p)),
            "grad vs central differences": derivatives.grad_against_differences,
            "curvature vs differences": derivatives.curvature_against_differences,
            "grad at kinks is finite": derivatives.grad_is_finite_at_kinks,
            "grad at kinks is a subgradient": derivatives.grad_is_a_subgradient,
            "prox vs global oracle": proximal.prox_against_oracle,
            "stationary at prox": proximal.prox_is_stationary,
            "prox derivatives": proximal.prox_derivatives,
            "prox in float32": proximal.prox_in_float32,
            "prox is monotone": proximal.prox_is_monotone,
            **{name: lambda _, check=check: check() for name, check in proximal.prox_at_extreme_strengths(s).items()},
            "lambda_max": duality.lambda_max_is_sharp,
            "support": derivatives.support_is_smooth,
            "free": claims.free_is_untouched,
            "covers": claims.covers_what_it_touches,
            "jit and vmap": derivatives.same_under_transformations,
            "vmap over λ": duality.path_members_batch,
        }
        if definition is not None:
            checks["value vs definition"] = derivatives.value_against_definition
        if sample is None:
            checks["subdifferential vs one-sided slopes"] = derivatives.subdifferential_against_slopes
        elif p.convex:
            checks["normal cone vs projection"] = sets.normal_cone_against_projection
        if p.finite:
            checks["scaling"] = duality.scaling_is_linear
            checks["step scaling"] = proximal.prox_scales_with_step
        if sample is not None:
            checks["projection is idempotent"] = sets.projection_is_idempotent
        if p.terms() != (p,):
            checks["terms add up"] = claims.terms_add_up
        if p.role:
            checks["role"] = claims.role_is_right
        if p.cone:
            checks["cone"] = claims.cone_is_scalable
        checks["joint prox"] = claims.joint_prox_against_oracle
        if p.smooth:
            checks["smooth"] = derivatives.smooth_has_no_kinks
        if p.separable:
            checks["prox in a diagonal metric"] = proximal.prox_in_a_diagonal_metric
        if p.separable and s.n > 1:
            checks["separable"] = duality.separable_has_no_interactions
        if p.convex:
            checks["convex"] = duality.convex_obeys_midpoints
            checks["prox is nonexpansive"] = proximal.prox_is_nonexpansive
            checks["conjugate vs numerical supremum"] = duality.conjugate_against_supremum
        else:
            checks["weakly convex"] = duality.weak_convexity_obeys_midpoints
            # Of sums and of several strengths the modulus is a bound, and documented as one.
            plain = not parts(p) and type(p).weak_convexity is not Penalty.weak_convexity
            if plain and all(np.ndim(strength) == 0 for strength in jax.tree.leaves(p)):
                checks["weak convexity is sharp"] = duality.weak_convexity_is_sharp
        checks.update(denials.denials(s))
        checks = {"value": derivatives.value_is_defined, **checks}
        unknown = set(only or ()) - set(checks)
        if unknown:
            raise ValueError(f"only: no such property of {s.title}: {', '.join(sorted(unknown))}; it has {', '.join(checks)}")
        rows = [
            judge(s.title, name, lambda check=check: check(s), required=name == "value")
            for name, check in checks.items()
            if only is None or name in only
        ]
    return Report(tuple(rows))


def _check_default(p: Penalty) -> None:
    """What is not for vectors of 4 is no wrong penalty."""
    try:
        jax.eval_shape(p, jnp.zeros(4))
    except UnknownOperation:
        return
    except (TypeError, ValueError, IndexError) as error:
        raise ValueError(f"params: {p!r} does not take the default, a vector of 4 ({error}); pass parameters that it is for") from error
