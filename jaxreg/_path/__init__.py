"""λ paths of a design matrix, and the choice of λ."""

from ._cv import cross_validate as cross_validate
from ._cv_result import CrossValidation as CrossValidation
from ._folds import Folds as Folds
from ._knots import Knots as Knots
from ._path import path as path
from ._result import Path as Path
