"""Analytic derivatives, proxes and conjugates held against autodiff, difference quotients and global searches."""

from ._all import all as all
from ._all import catalogue as catalogue
from ._gradient import GradientCheck as GradientCheck
from ._gradient import gradient as gradient
from ._loss import loss as loss
from ._penalty import penalty as penalty
from ._report import Report as Report
from ._report import Row as Row
from ._transforms import transforms as transforms
