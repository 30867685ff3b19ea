"""The penalties, one a file, and their calculus."""

from ._base import Penalty as Penalty
from ._base import Separable as Separable
from ._base import UnknownOperation as UnknownOperation
from ._base import static as static
from ._capped_l1 import CappedL1 as CappedL1
from ._elastic_net import ElasticNet as ElasticNet
from ._exclusive_lasso import ExclusiveLasso as ExclusiveLasso
from ._group_lasso import GroupLasso as GroupLasso
from ._huber import Huber as Huber
from ._interval import Box as Box
from ._interval import NonNegative as NonNegative
from ._l0 import L0 as L0
from ._l1 import L1 as L1
from ._l2 import L2 as L2
from ._l2_norm import L2Norm as L2Norm
from ._linf import LInf as LInf
from ._log_sum import LogSum as LogSum
from ._mcp import MCP as MCP
from ._place import Around as Around
from ._place import On as On
from ._scad import SCAD as SCAD
from ._slope import SLOPE as SLOPE
from ._sum import Sum as Sum
from ._zero import Zero as Zero
