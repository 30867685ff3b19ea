"""jaxreg: regularisation for JAX as pure functions.

The objective that is minimised is exactly ``loss(params, *batch) + penalty(params)``: nothing rescaled, nothing hidden.
"""

# Namespaces: other libraries' interfaces, λ between libraries, data terms, optax transforms, checks of derivatives.
from . import compat as compat
from . import conventions as conventions
from . import losses as losses
from . import terms as terms
from . import transforms as transforms
from . import verify as verify

# The objective and its training step.
from ._objective import Objective as Objective
from ._objective import objective as objective
from ._path import Bootstrap as Bootstrap

# λ paths, the choice of λ, and what may be said after a selection.
from ._path import Choice as Choice
from ._path import Comparison as Comparison
from ._path import CrossValidation as CrossValidation
from ._path import DebiasedLasso as DebiasedLasso
from ._path import Folds as Folds
from ._path import Knots as Knots
from ._path import Path as Path
from ._path import Relaxed as Relaxed
from ._path import RelaxedCrossValidation as RelaxedCrossValidation
from ._path import StabilitySelection as StabilitySelection
from ._path import bootstrap as bootstrap
from ._path import compare as compare
from ._path import cross_validate as cross_validate
from ._path import cross_validate_relaxed as cross_validate_relaxed
from ._path import debiased_lasso as debiased_lasso
from ._path import path as path
from ._path import relax as relax
from ._path import stability_selection as stability_selection

# Penalties and their calculus.
from ._penalties import ETP as ETP
from ._penalties import L0 as L0
from ._penalties import L1 as L1
from ._penalties import L2 as L2
from ._penalties import MCP as MCP
from ._penalties import SCAD as SCAD
from ._penalties import SLOPE as SLOPE
from ._penalties import AffineSet as AffineSet
from ._penalties import AsymmetricL1 as AsymmetricL1
from ._penalties import Binary as Binary
from ._penalties import Box as Box
from ._penalties import BoxSection as BoxSection
from ._penalties import CappedL1 as CappedL1
from ._penalties import CappedL2 as CappedL2
from ._penalties import CubeNorm as CubeNorm
from ._penalties import ElasticNet as ElasticNet
from ._penalties import ExclusiveLasso as ExclusiveLasso
from ._penalties import ExponentialCone as ExponentialCone
from ._penalties import FusedLasso as FusedLasso
from ._penalties import Geman as Geman
from ._penalties import GraphLaplacian as GraphLaplacian
from ._penalties import GroupElasticNet as GroupElasticNet
from ._penalties import GroupLasso as GroupLasso
from ._penalties import GroupLHalf as GroupLHalf
from ._penalties import GroupMCP as GroupMCP
from ._penalties import GroupSCAD as GroupSCAD
from ._penalties import HalfSpace as HalfSpace
from ._penalties import Huber as Huber
from ._penalties import Hyperplane as Hyperplane
from ._penalties import Hyperslab as Hyperslab
from ._penalties import KSupport as KSupport
from ._penalties import L1Ball as L1Ball
from ._penalties import L1MinusL2 as L1MinusL2
from ._penalties import L2Ball as L2Ball
from ._penalties import L2Norm as L2Norm
from ._penalties import LHalf as LHalf
from ._penalties import LInf as LInf
from ._penalties import LInfBall as LInfBall
from ._penalties import LogBarrier as LogBarrier
from ._penalties import LogSum as LogSum
from ._penalties import LTwoThirds as LTwoThirds
from ._penalties import MaxNorm as MaxNorm
from ._penalties import MinMaxNorm as MinMaxNorm
from ._penalties import NonNegative as NonNegative
from ._penalties import Nuclear as Nuclear
from ._penalties import NuclearBall as NuclearBall
from ._penalties import Orthogonality as Orthogonality
from ._penalties import OverlappingGroupLasso as OverlappingGroupLasso
from ._penalties import Penalty as Penalty
from ._penalties import PSDCone as PSDCone
from ._penalties import RankBall as RankBall
from ._penalties import RotatedSecondOrderCone as RotatedSecondOrderCone
from ._penalties import SecondOrderCone as SecondOrderCone
from ._penalties import Separable as Separable
from ._penalties import Simplex as Simplex
from ._penalties import SparseBall as SparseBall
from ._penalties import SparseGroupLasso as SparseGroupLasso
from ._penalties import SpectralNorm as SpectralNorm
from ._penalties import Sphere as Sphere
from ._penalties import SquaredSpectralNorm as SquaredSpectralNorm
from ._penalties import Stiefel as Stiefel
from ._penalties import SumLargest as SumLargest
from ._penalties import Tikhonov as Tikhonov
from ._penalties import TotalVariation as TotalVariation
from ._penalties import TrendFilter as TrendFilter
from ._penalties import UnitNorm as UnitNorm
from ._penalties import UnknownOperation as UnknownOperation
from ._penalties import Zero as Zero
from ._penalties import static as static

# Any loss over any pytree.
from ._reweighted import Reweighted as Reweighted
from ._reweighted import reweighted_l1 as reweighted_l1
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
from ._warnings import GridEdgeWarning as GridEdgeWarning


def __getattr__(name: str) -> object:
    """Pictures are imported where they are asked for: matplotlib is an extra."""
    if name == "plot":
        import importlib

        return importlib.import_module(".plot", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
