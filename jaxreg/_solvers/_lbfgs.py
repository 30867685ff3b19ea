"""L-BFGS with a zoom line search (Nocedal and Wright, Numerical optimization, 2006, algorithms 7.5 and 3.5)."""

import optax

from ._descent import Descent

solver = Descent(optax.with_extra_args_support(optax.lbfgs()))
