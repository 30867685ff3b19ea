"""Solvers for any differentiable loss over any pytree, one method a file."""

from ._contract import Info as Info
from ._contract import Problem as Problem
from ._solve import Solution as Solution
from ._solve import solve as solve
