"""``sweep``: the same numbers as a loop, in any chunks, for anything that can be swept."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxreg

LAMS = jnp.array([0.0, 0.5, 1.0, 2.0, 4.0])
KEYS = jax.random.split(jax.random.key(0), 3)


def train(lam, key):
    noise = jax.random.normal(key, (2,))
    return {"w": noise / (1 + lam), "loss": lam * jnp.sum(noise**2)}


@pytest.mark.thin(3)
@pytest.mark.parametrize("chunk", [None, 1, 2, 4, 7, 15, 100])
def test_chunks_do_not_change_the_answer(chunk):
    seen = []
    out = jaxreg.sweep(train, LAMS, keys=KEYS, chunk=chunk, progress=lambda done, total: seen.append((done, total)))
    assert out["w"].shape == (5, 3, 2)
    for i, lam in enumerate(LAMS):
        for k, key in enumerate(KEYS):
            expected = train(lam, key)
            np.testing.assert_allclose(out["w"][i, k], expected["w"], rtol=1e-6)
            np.testing.assert_allclose(out["loss"][i, k], expected["loss"], rtol=1e-6)
    assert seen[-1] == (15, 15)


def test_several_strengths_and_whole_penalties():
    both = jaxreg.sweep(lambda lams: lams[0] + 10 * lams[1], (LAMS, LAMS))
    np.testing.assert_allclose(both, 11 * LAMS)
    penalties = jaxreg.L1(LAMS).on("a") + jaxreg.L2(2 * LAMS)
    values = jaxreg.sweep(lambda penalty: penalty({"a": jnp.ones(2), "b": jnp.ones(3)}), penalties)
    np.testing.assert_allclose(values, 2 * LAMS + 5 * 2 * LAMS)


def test_memory_decides_the_chunk():
    sizes = []

    def heavy(lam):
        sizes.append(1)  # traced once for each program that is compiled
        return jnp.ones((1000,)) * lam

    done = []
    out = jaxreg.sweep(heavy, jnp.arange(64.0), max_bytes=10 * 4000, progress=lambda d, t: done.append(d))
    assert out.shape == (64, 1000)
    np.testing.assert_array_equal(out[:, 0], np.arange(64))
    assert len(done) >= 64 // 10
    assert len(sizes) <= 3


def test_solve_inside():
    target = jnp.array([3.0, 0.5])
    out = jaxreg.sweep(lambda lam: jaxreg.solve(lambda w: 0.5 * jnp.sum((w - target) ** 2), jaxreg.L1(lam), jnp.zeros(2)), LAMS)
    np.testing.assert_allclose(out.params, jnp.maximum(target - LAMS[:, None], 0), atol=4e-5)  # 1e-5 of the first gradient, 3
    assert bool(out.converged.all())


@pytest.mark.parametrize(
    ("lams", "options", "message"),
    [
        (1.0, {}, "needs a leading axis"),
        ((jnp.ones(2), jnp.ones(3)), {}, r"different lengths \[2, 3\]"),
        (jnp.ones(0), {}, "nothing to sweep"),
        (jnp.ones(2), {"keys": jax.random.key(0)}, "keys must be several keys"),
        (jnp.ones(2), {"chunk": 0}, "chunk must be at least 1"),
    ],
)
def test_bad_input(lams, options, message):
    with pytest.raises(ValueError, match=message):
        jaxreg.sweep(lambda lam: lam, lams, **options)
