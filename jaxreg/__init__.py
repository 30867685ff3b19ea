"""jaxreg: regularisation for JAX as pure functions.

The objective that is minimised is exactly ``loss(params, *batch) + penalty(params)``: nothing rescaled, nothing hidden.
"""

# Namespaces: other libraries' interfaces, λ between libraries, data terms, optax transforms, checks of derivatives.
from . import compat as compat
from . import conventions as conventions
from . import losses as losses
from . import transforms as transforms
from . import verify as verify

# The objective and its training step.
from ._objective import Objective as Objective
from ._objective import objective as objective

# λ paths and the choice of λ.
from ._path import CrossValidation as CrossValidation
from ._path import Knots as Knots
from ._path import Path as Path
from ._path import cross_validate as cross_validate
from ._path import path as path

# Penalties and their calculus.
from ._penalties import L0 as L0
from ._penalties import L1 as L1
from ._penalties import L2 as L2
from ._penalties import MCP as MCP
from ._penalties import SCAD as SCAD
from ._penalties import SLOPE as SLOPE
from ._penalties import Box as Box
from ._penalties import CappedL1 as CappedL1
from ._penalties import ElasticNet as ElasticNet
from ._penalties import ExclusiveLasso as ExclusiveLasso
from ._penalties import GroupLasso as GroupLasso
from ._penalties import Huber as Huber
from ._penalties import L2Norm as L2Norm
from ._penalties import LInf as LInf
from ._penalties import LogSum as LogSum
from ._penalties import NonNegative as NonNegative
from ._penalties import Penalty as Penalty
from ._penalties import Separable as Separable
from ._penalties import UnknownOperation as UnknownOperation
from ._penalties import Zero as Zero
from ._penalties import static as static

# Any loss over any pytree.
from ._solvers import Solution as Solution
from ._solvers import solve as solve
from ._summary import Summary as Summary
from ._summary import summary as summary
from ._sweep import sweep as sweep
from ._tree import kernels as kernels
from ._update import Metrics as Metrics
from ._update import TrainState as TrainState
from ._update import gradient_step as gradient_step
from ._update import make_step as make_step
from ._warnings import ConvergenceWarning as ConvergenceWarning
