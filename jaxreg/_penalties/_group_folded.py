"""What the folded group penalties share: MCP or SCAD of each group's norm, with lam·weight_g in the place of lam."""

from __future__ import annotations

from typing import Any, ClassVar

from jaxtyping import Array, Float

from ._arithmetic import number
from ._base import Penalty, Strength, _fields
from ._folded import Knee
from ._groups import Radial


def _value(cls: Any, m: Float[Array, " groups"], lam, shape, weights, scale) -> Float[Array, " groups"]:
    return cls.single.leaf_value(m, lam * weights, shape, scale)


def _slope(cls: Any, m: Float[Array, " groups"], lam, shape, weights, scale) -> Float[Array, " groups"]:
    return cls.single.slope(m, lam * weights, shape, scale)


def _steepest(cls: Any, m: Float[Array, " groups"], lam, shape, weights, scale) -> Float[Array, " groups"]:
    return cls.single.steepest(m, lam * weights, shape, scale)


def _shrink(cls: Any, m: Float[Array, " groups"], step, lam, shape, weights, scale) -> Float[Array, " groups"]:
    return cls.single.shrink(m, step, lam * weights, shape, scale)


class GroupKnee(Radial):
    """A ``Knee`` of group norms. Subclasses name the penalty of single numbers and have the fields lam, groups, a shape, weights, scale.

    λ takes the place of ``lam``; a factor goes to ``scale``.
    """

    single: ClassVar[type[Knee]] = Knee

    norm_value, norm_slope = classmethod(_value), classmethod(_slope)
    norm_steepest, norm_shrink = classmethod(_steepest), classmethod(_shrink)

    def at(self, lam: Strength) -> Penalty:
        return self._with(lam=lam)

    def scaled(self, factor: Strength) -> Penalty:
        return self._with(scale=factor * getattr(self, "scale"))

    def formula(self, prefix: str = "", w: str = "w") -> str:
        lam, _, shape, _, scale = (number(getattr(self, field.name), field.name) for field in _fields(self))
        weight = "√|g|" if getattr(self, "weights") is None else "weight_g"
        name = self.single.__name__
        return f"{'' if scale == '1' else scale + '·'}Σ_g {name}(‖{w}_g‖₂; {prefix or lam}·{weight}, {shape})"
