"""Data terms of generalised linear models, each with value, gradient, curvature and conjugate written by hand."""

from ._base import Loss as Loss
from ._logistic import Logistic as Logistic
from ._multinomial import Multinomial as Multinomial
from ._squared_error import SquaredError as SquaredError
