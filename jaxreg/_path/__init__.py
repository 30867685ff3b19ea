"""λ paths of a design matrix, and the choice of λ."""

from ._bootstrap import Bootstrap as Bootstrap
from ._bootstrap import bootstrap as bootstrap
from ._compare import Choice as Choice
from ._compare import Comparison as Comparison
from ._compare import compare as compare
from ._cv import cross_validate as cross_validate
from ._cv_result import CrossValidation as CrossValidation
from ._debiased import DebiasedLasso as DebiasedLasso
from ._debiased import debiased_lasso as debiased_lasso
from ._folds import Folds as Folds
from ._knots import Knots as Knots
from ._path import path as path
from ._relax import Relaxed as Relaxed
from ._relax import relax as relax
from ._relax_cv import RelaxedCrossValidation as RelaxedCrossValidation
from ._relax_cv import cross_validate_relaxed as cross_validate_relaxed
from ._result import Path as Path
from ._stability import StabilitySelection as StabilitySelection
from ._stability import stability_selection as stability_selection
