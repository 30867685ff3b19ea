"""Every tolerance of ``verify``, each with where it comes from. An error of ½ hides behind none of them.

Errors are compared after division by a scale of at least 1 (the largest entry or value at hand), so a tolerance is a
relative error for large numbers and an absolute one for small.
"""

from __future__ import annotations

import numpy as np

_EPS = float(np.finfo(np.float64).eps)
_EPS32 = float(np.finfo(np.float32).eps)

# Two float64 formulas for one quantity: some hundred roundings, each of eps.
FORMULA = 1024 * _EPS

# The same program compiled or batched differently: fused multiply-adds and reordered sums, some tens of roundings.
SAME = 128 * _EPS

# float32 against float64 on the same inputs: some hundred roundings, in float32.
SINGLE = 256 * _EPS32

# Central differences (of a value or, for curvatures, of a gradient) with a step h = eps^(1/3) times the point's scale r:
# truncation h²·f'''/6 and rounding eps·f/h are both eps^(2/3) for values of order r. At r = 1e-3 a value that is computed as
# a difference of numbers of order 1 (log cosh) loses the factor 1e3; ten more for the constants.
DIFFERENCE_STEP = _EPS ** (1 / 3)
DIFFERENCE = 1e4 * _EPS ** (2 / 3)

# One-sided differences with a step of √eps times the point's scale: truncation and rounding are each √eps times a second
# derivative or value of the order of the scale.
ONE_SIDED_STEP = _EPS**0.5
ONE_SIDED = 256 * _EPS**0.5

# An oracle may beat a prox by rounding in the objective only.
OBJECTIVE = 256 * _EPS
# The prox objective is 1-strongly convex for convex penalties: ½d² <= objective error, so points agree to its root.
POINT = (2 * OBJECTIVE) ** 0.5

# Fixed-point and subgradient residuals: a few roundings of a formula, divided by a step as small as 1e-2.
STATIONARY = 100 * FORMULA

# The search locates a supremum to a billionth of the point. Where the function is smooth its value is flat there, and far
# more accurate; at a constraint's end the value is off by slope times that. Ten for a slope, a point and a sum of some numbers.
CONJUGATE = 1e-8
# A search over all numbers at once may stop at a kink that no step of a compass leads away from: some 1e-7 were seen.
CONJUGATE_OF_ALL = 1e-5

# Where a set is searched through a map onto it, kinks of the map slow the search: a millionth of the objective is left.
SAMPLED = 1e-6
# What lies in a set by its own equation: projections round in each number.
MEMBER = FORMULA

# The prox of a huge strength rests where the penalty is lowest, up to rounding in the point.
LIMIT = 1e-9

# Where the second difference of a prox exceeds this share of the step, a kink is near and a difference quotient means nothing.
BEND = 1e-4

# λ_max is tested this much above and below itself: above rounding, and below any mistake in a formula.
ABOVE, BELOW = 1e-6, 1e-5

# verify.gradient takes any function, whose third derivative may be some thousand times its gradient's scale.
USER_AUTODIFF = 1e-9
USER_DIFFERENCE = 1e4 * _EPS ** (2 / 3)
# How far its second point lies: a thousandth is far above the difference step (6e-6), so that what vanishes at the first
# point shows, and near enough to be finite where the first one is.
NUDGE = 1e-3

# A thousand optimizer steps against NumPy: errors of eps each add up, and Adam divides by √v.
TRAJECTORY = 1e3 * FORMULA
