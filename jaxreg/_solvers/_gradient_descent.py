"""Gradient descent with a backtracking line search (Armijo's condition), for smooth objectives."""

import optax

from ._descent import Descent

solver = Descent(
    optax.with_extra_args_support(
        optax.chain(
            optax.sgd(1.0),
            optax.scale_by_backtracking_linesearch(max_backtracking_steps=40, increase_factor=2.0, store_grad=True),
        )
    )
)
