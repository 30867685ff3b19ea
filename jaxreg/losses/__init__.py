"""Data terms of generalised linear models, each with value, gradient, curvature and conjugate written by hand."""

from ._base import Loss as Loss
from ._cox import Cox as Cox
from ._gamma import Gamma as Gamma
from ._huber import Huber as Huber
from ._logistic import Logistic as Logistic
from ._multinomial import Multinomial as Multinomial
from ._poisson import Poisson as Poisson
from ._quantile import Quantile as Quantile
from ._squared_error import SquaredError as SquaredError
from ._squared_hinge import SquaredHinge as SquaredHinge
from ._tweedie import Tweedie as Tweedie
