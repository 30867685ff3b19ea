"""What other libraries call otherwise, or cut otherwise: their name, and how it is written in jaxreg.

Each ``here`` is Python with jaxreg's names, ``np``, the arguments of theirs, ``f`` for a penalty, ``C`` for a convex set and ``Q`` for an
orthogonal matrix: the tests evaluate it, and hold it against the other library's formula. Where it is empty jaxreg has no such penalty.
"""

from __future__ import annotations

from typing import NamedTuple


class Foreign(NamedTuple):
    """A penalty or set of another library."""

    library: str
    name: str
    here: str
    note: str = ""


_QP = "needs a quadratic program at each projection"

FOREIGN = (
    Foreign("jaxopt", "projection_hypercube(x, scale)", "Box(0.0, scale)"),
    Foreign("jaxopt", "projection_l2_sphere(x, value)", "Sphere(value)"),
    Foreign("jaxopt", "projection_l1_sphere", "", "not convex, and outside the same as `L1Ball`"),
    Foreign("jaxopt", "projection_box_section(x, (lower, upper, w, c))", "BoxSection(w, c, lower, upper)"),
    Foreign("jaxopt", "projection_polyhedron", "", _QP),
    Foreign("jaxopt", "projection_transport, projection_birkhoff", "", "an iterative solve at each projection; those in KL are no proxes"),
    Foreign("nemos", "Ridge(), strength", "L2(strength / 2)", "½ in the definition; strengths are divided by the number of neurons"),
    Foreign("nemos", "UnRegularized()", "Zero()"),
    Foreign("skglm", "L2(alpha)", "L2(alpha / 2)", "½ in the definition"),
    Foreign("skglm", "L1_plus_L2(alpha, l1_ratio)", "ElasticNet(alpha, l1_ratio)"),
    Foreign("skglm", "WeightedL1(alpha, weights)", "L1(alpha * weights)"),
    Foreign("skglm", "WeightedMCPenalty(alpha, gamma, weights)", "MCP(alpha, gamma, scale=weights)"),
    Foreign("skglm", "L0_5(alpha)", "LHalf(alpha)"),
    Foreign("skglm", "L2_3(alpha)", "LTwoThirds(alpha)"),
    Foreign("skglm", "LogSumPenalty(alpha, eps)", "LogSum(alpha, eps)"),
    Foreign("skglm", "PositiveConstraint()", "NonNegative()"),
    Foreign("skglm", "IndicatorBox(alpha)", "Box(0.0, alpha)"),
    Foreign("skglm", "L2_1(alpha)", "L2Norm(alpha, axis=1)", "of each row"),
    Foreign("skglm", "L2_05(alpha)", "GroupLHalf(alpha, groups=np.arange(len(W))[:, None], weights=np.ones(len(W)))", "of each row"),
    Foreign("skglm", "BlockMCPenalty(alpha, gamma)", "GroupMCP(alpha, np.arange(len(W))[:, None], gamma, np.ones(len(W)))", "of each row"),
    Foreign("skglm", "BlockSCAD(alpha, gamma)", "GroupSCAD(alpha, np.arange(len(W))[:, None], gamma, np.ones(len(W)))", "of each row"),
    Foreign("skglm", "WeightedGroupL2(alpha, weights, groups)", "GroupLasso(alpha, groups, weights)"),
    Foreign("SCICO", "SquaredL2Norm()", "L2(1.0)"),
    Foreign("SCICO", "L21Norm(l2_axis)", "L2Norm(1.0, axis=l2_axis)"),
    Foreign("SCICO", "HuberNorm(delta, separable=False)", "L2Norm(delta).envelope(1.0)"),
    Foreign("SCICO", "L1MinusL2Norm(beta=1)", "L1MinusL2(1.0)"),
    Foreign("SCICO", "SetDistance(C)", "C.distance()"),
    Foreign("SCICO", "SquaredSetDistance(C)", "C.envelope(1.0)", "half the squared distance"),
    Foreign("SCICO", "ProximalAverage", "", "averages proxes, whose penalty has no closed form"),
    Foreign("SCICO", "BM3D, BM4D, DnCNN", "", "denoisers, which are the prox of no known penalty"),
    Foreign("ProximalOperators.jl", "ElasticNet(mu, lam)", "L1(mu) + L2(lam / 2)"),
    Foreign("ProximalOperators.jl", "SqrNormL2(lam)", "L2(lam / 2)", "½ in the definition"),
    Foreign("ProximalOperators.jl", "NormL1plusL2(lam, mu)", "L1(lam) + L2Norm(mu)"),
    Foreign("ProximalOperators.jl", "HuberLoss(rho, mu)", "L2Norm(rho * mu).envelope(1 / mu)", "of the length, not of each number"),
    Foreign("ProximalOperators.jl", "SumPositive()", "AsymmetricL1(1.0, 0.0)"),
    Foreign("ProximalOperators.jl", "Maximum(lam)", "SumLargest(lam)"),
    Foreign("ProximalOperators.jl", "CubeNormL2(lam)", "CubeNorm(lam)"),
    Foreign("ProximalOperators.jl", "LogBarrier(a, b, mu)", "LogBarrier(mu).around(-b).rescale(a)"),
    Foreign("ProximalOperators.jl", "Quadratic(M'M, 0)", "Tikhonov(0.5, matrix=M)", "½ in the definition; a linear term goes to the loss"),
    Foreign("ProximalOperators.jl", "IndFree()", "Zero()"),
    Foreign("ProximalOperators.jl", "IndZero()", "Box(0.0, 0.0)"),
    Foreign("ProximalOperators.jl", "IndPoint(p)", "Box(0.0, 0.0).around(p)"),
    Foreign("ProximalOperators.jl", "IndNonpositive()", "Box(-np.inf, 0.0)"),
    Foreign("ProximalOperators.jl", "IndBallL0(k)", "SparseBall(k)"),
    Foreign("ProximalOperators.jl", "IndGraph(M)", "AffineSet(np.hstack([M, -np.eye(len(M))]))", "of (x, y) with y = Mx"),
    Foreign("ProximalOperators.jl", "IndExpPrimal()", "ExponentialCone()"),
    Foreign("ProximalOperators.jl", "IndExpDual()", "ExponentialCone().dual().rescale(-1.0)", "a dual cone is the polar one, turned round"),
    Foreign("ProximalOperators.jl", "DistL2(C, lam)", "C.distance(lam)"),
    Foreign("ProximalOperators.jl", "SqrDistL2(C, lam)", "lam * C.envelope(1.0)", "lam/2 times the squared distance"),
    Foreign("ProximalOperators.jl", "TotalVariation1D(lam)", "FusedLasso(lam)"),
    Foreign("ProximalOperators.jl", "Translate(f, b)", "f.around(-b)"),
    Foreign("ProximalOperators.jl", "PrecomposeDiagonal(f, a, b)", "f.around(-b).rescale(a)"),
    Foreign("ProximalOperators.jl", "Regularize(f, rho, p)", "f + L2(rho / 2).around(p)"),
    Foreign("ProximalOperators.jl", "Postcompose(f, a, b)", "a * f", "without the constant b"),
    Foreign("ProximalOperators.jl", "Linear, Tilt", "", "a term of the loss: it shrinks nothing"),
    Foreign("ProximalOperators.jl", "IndPolyhedral", "", _QP),
    Foreign("ProximalOperators.jl", "PointwiseMinimum, Epicompose", "", "the lower of two functions; a preimage, which needs a solve"),
    Foreign("PyProximal", "L2(sigma, b=p)", "L2(sigma / 2).around(p)", "½ in the definition"),
    Foreign("PyProximal", "EuclideanBall(p, radius)", "L2Ball(radius).around(p)"),
    Foreign("PyProximal", "L21_plus_L1(sigma, rho)", "L1(sigma * rho) + L2Norm(sigma * (1 - rho), axis=0)"),
    Foreign("PyProximal", "Huber(alpha)", "Huber(1 / alpha, delta=alpha)"),
    Foreign("PyProximal", "HuberCircular(alpha)", "L2Norm(1.0).envelope(alpha)", "of the length, not of each number"),
    Foreign("PyProximal", "Log(sigma, gamma)", "LogSum(sigma / np.log(1 + gamma), eps=1 / gamma)"),
    Foreign("PyProximal", "Log1(sigma, delta)", "LogSum(sigma, eps=delta)", "0 at 0: without the constant"),
    Foreign("PyProximal", "RelaxedMumfordShah(sigma, kappa)", "CappedL2(sigma, cap=np.sqrt(kappa / sigma))"),
    Foreign("PyProximal", "QuadraticEnvelopeCard(mu)", "MCP(np.sqrt(2 * mu), gamma=1.0)"),
    Foreign("PyProximal", "Orthogonal(f, Q)", "f.rotate(Q)"),
    Foreign("PyProximal", "QuadraticEnvelopeCardIndicator(k)", "", "`KSupport(1.0, k)` less `L2(0.5)`; penalties are not subtracted"),
    Foreign("PyProximal", "QuadraticEnvelopeRankL2", "", "a loss with its penalty in one"),
    Foreign("PyProximal", "VStack", "", "of parts of a vector; parameters that are leaves have `.on` and a sum"),
    Foreign("PyProximal", "Nonlinear, L2Convolve", "", "a loss whose prox is a solve of its own: put it into the loss"),
    Foreign("PyProximal", "SingularValuePenalty", "", "of such functions there are `Nuclear`, `SpectralNorm`, `NuclearBall`, `RankBall`"),
    Foreign("PyProximal", "HyperPlaneBoxProj(w, c, lower, upper)", "BoxSection(w, c, lower, upper)"),
    Foreign("PyProximal", "Intersection", "", "Dykstra's iteration, of which no finite number of steps is a prox"),
    Foreign("PyProximal", "Hankel", "", "a subspace of matrices that signal processing needs; small ones by `AffineSet`"),
    Foreign("Keras", "L1L2(l1, l2)", "L1(l1) + L2(l2)"),
    Foreign("Keras", "NonNeg()", "NonNegative()"),
    Foreign("Keras", "MinMaxNorm(min_value, max_value)", "MinMaxNorm(min_value, max_value)", "a rate below 1 goes part of the way"),
    Foreign("Keras", "OrthogonalRegularizer", "", "of the angles between units alone; `Orthogonality` is ‖WᵀW − I‖², lengths included"),
    Foreign("Keras", "RadialConstraint", "", "copies entries outwards: no projection, and no set is named"),
    Foreign("glmnet", "lower.limits, upper.limits", "Box(lower, upper)"),
    Foreign("glmnet", 'type.multinomial = "grouped"', "L2Norm(1.0, axis=1)", "of coefficients (features, classes)"),
)
