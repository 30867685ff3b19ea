"""Ctrl-C during long work: what is done is kept and marked."""

import signal

import jax
import numpy as np
import pytest

import jaxreg
from jaxreg import ConvergenceWarning, losses

from .reference import made


@pytest.fixture
def keyboard():
    """Ctrl-C as in a terminal; processes that run tests in parallel ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


INTERRUPTED = [
    (jaxreg.L1(), losses.SquaredError(), 1100),
    pytest.param(jaxreg.ElasticNet(), losses.SquaredError(), 400, marks=pytest.mark.slow),
    pytest.param(jaxreg.L1(), losses.Huber(), 7, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("penalty", "loss", "p"), INTERRUPTED, ids=["homotopy", "batch", "newton"])
def test_an_interrupted_path_keeps_what_is_done(keyboard, penalty, loss, p):
    """The lasso of few columns is one program; a working set is not."""
    X, y = made(60, p)

    def press(done, total):
        if done < total:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.warns(ConvergenceWarning, match="path: interrupted, with"):
        cut = jaxreg.path(X, y, penalty, loss=loss, lams=30, progress=press)
    assert signal.getsignal(signal.SIGINT) is before
    assert cut.interrupted
    assert 0 < len(cut.lams) < 30
    assert cut.converged.all()
    whole = jaxreg.path(X, y, penalty, loss=loss, lams=30)
    assert not whole.interrupted
    np.testing.assert_allclose(cut.coef, whole.coef[: len(cut.lams)], atol=1e-8)


def test_an_interrupt_throws_nothing_away_that_is_done(keyboard):
    X, y = made(60, 7)
    with pytest.warns(ConvergenceWarning, match="path: Ctrl-C came when nothing could be left out"):
        fit = jaxreg.path(X, y, jaxreg.L1(), lams=30, progress=lambda *_: signal.raise_signal(signal.SIGINT) if _[0] == 8 else None)
    assert not fit.interrupted
    assert len(fit.lams) == 30


@pytest.mark.slow
def test_a_second_interrupt_is_not_caught(keyboard):
    X, y = made(60, 7)

    def press(done, total):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        jaxreg.path(X, y, jaxreg.L1(), loss=losses.Huber(), lams=[10.0, 1.0], progress=press)
    counts = np.abs(np.c_[y, -2 * y]).round()
    with pytest.raises(KeyboardInterrupt):  # of targets apart nothing is whole
        jaxreg.path(X, counts, jaxreg.L2(), loss=losses.Poisson(), progress=lambda *_: signal.raise_signal(signal.SIGINT))


def pressed_from(share):
    """A progress function that presses Ctrl-C once, when that much is done."""
    waiting = [True]

    def press(done, total):
        if done >= share * total and waiting:
            waiting.clear()
            signal.raise_signal(signal.SIGINT)

    return press


def counts_of(X, y):
    return np.random.default_rng(0).poisson(np.exp(0.3 * X[:, :2])).astype(float)


CROSS_VALIDATIONS = [
    (jaxreg.L1(), losses.SquaredError(), 300, "folds"),
    pytest.param(jaxreg.ElasticNet(), losses.SquaredError(), 300, "folds", marks=pytest.mark.slow),
    pytest.param(jaxreg.L1(), losses.Poisson(), 7, "folds", marks=pytest.mark.slow),  # of two targets
    pytest.param(jaxreg.L1(), losses.Huber(), 7, "λ", marks=pytest.mark.slow),  # all folds side by side
]


@pytest.mark.parametrize(("penalty", "loss", "p", "cut"), CROSS_VALIDATIONS, ids=["homotopy", "batch", "likelihood", "newton"])
def test_an_interrupted_cross_validation_keeps_what_is_done(keyboard, penalty, loss, p, cut):
    X, y = made(60, p)
    y = counts_of(X, y) if isinstance(loss, losses.Poisson) else y
    options = {"loss": loss, "folds": np.arange(60) % 12, "lams": 20}
    whole = jaxreg.cross_validate(X, y, penalty, **options)
    with pytest.warns(ConvergenceWarning, match=r"cross_validate: interrupted, with \d+ folds and \d+ λ done"):
        found = jaxreg.cross_validate(X, y, penalty, progress=pressed_from(0.5), **options)
    assert found.interrupted
    assert not whole.interrupted
    folds, lams = found.fold_errors.shape
    assert (folds, lams) == found.fold_converged.shape == found.fold_coef.shape[:2] == (len(found.folds.test), len(found.lams))
    assert (2 <= folds < 12 and lams == 20) if cut == "folds" else (folds == 12 and 2 <= lams < 20)
    np.testing.assert_allclose(found.fold_errors, whole.fold_errors[:folds, :lams], rtol=1e-7)
    np.testing.assert_allclose(found.mean, whole.fold_errors[:folds, :lams].mean(axis=0), rtol=1e-7)  # folds of five rows each
    np.testing.assert_allclose(found.path.coef, whole.path.coef[:lams], rtol=1e-6, atol=1e-8)
    assert found.index_min == found.mean.argmin()
    assert "interrupted" in repr(found)


def test_answers_that_are_at_hand_are_gone_on_with(keyboard):
    """The dual takes over where the one program of few features misses tol: a Ctrl-C that leaves nothing out changes nothing."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(16, 40)), rng.normal(size=16)
    options = {"lams": [1, 1e-3, 1e-6], "progress": pressed_from(0)}
    with pytest.warns(ConvergenceWarning, match="Ctrl-C came when nothing could be left out"):
        fit = jaxreg.path(X, y, jaxreg.ElasticNet(), **options)
    assert fit.converged.all()
    assert not fit.interrupted


@pytest.mark.slow
def test_a_late_interrupt_of_resampling_is_answered(keyboard):
    X, y = made(60, 7)
    late = "Ctrl-C came when nothing could be left out"
    for resampled in (jaxreg.bootstrap, jaxreg.stability_selection):
        with pytest.warns(ConvergenceWarning, match=f"{resampled.__name__}: {late}"):
            found = resampled(X, y, jaxreg.L1(), key=jax.random.key(0), resamples=4, lams=5, progress=pressed_from(1))
        assert not found.interrupted


def test_without_two_folds_there_is_nothing_to_choose_by(keyboard):
    X, y = made(60, 300)
    with pytest.raises(KeyboardInterrupt):
        jaxreg.cross_validate(X, y, jaxreg.L1(), folds=np.arange(60) % 12, lams=20, progress=pressed_from(0))


def test_of_repeats_that_were_interrupted_whole_ones_count():
    folds = jaxreg.Folds.draw(20, 4, jax.random.key(0), repeats=3)
    kept = [None if (first := folds.first(count)) is None else len(first.test) for count in range(13)]
    assert kept == [None, None, 2, 3, 4, 4, 4, 4, 8, 8, 8, 8, 12]


@pytest.mark.slow
def test_an_interrupted_comparison_is_of_what_is_done(keyboard):
    X, y = made(60, 7)
    options = {"loss": losses.Huber(), "folds": np.arange(60) % 5, "lams": 20}
    with pytest.warns(ConvergenceWarning, match=r"compare: interrupted, with 5 folds and \d+ λ done"):
        found = jaxreg.compare(X, y, jaxreg.L1(), criteria=("cv", "1se"), progress=pressed_from(0.4), **options)
    with pytest.warns(ConvergenceWarning, match=r"compare: interrupted, with \d+ of 20 λ done"):
        loo = jaxreg.compare(X, y, jaxreg.L1(), criteria=("loo",), progress=pressed_from(0.4), loss=losses.Huber(), lams=20)
    assert len(found.path.lams) == len(found.curves["cv"]) == len(loo.curves["loo"]) < 20
    assert found.interrupted
    assert loo.interrupted


@pytest.mark.parametrize("complementary", [True, False])
def test_an_interrupted_stability_selection_counts_the_subsamples_that_are_done(keyboard, complementary):
    X, y = made(60, 300)
    options = {"key": jax.random.key(0), "resamples": 12, "lams": 10, "complementary": complementary}
    with pytest.warns(ConvergenceWarning, match=r"stability_selection: interrupted, with \d+ of 12 resamples and 10 λ done"):
        found = jaxreg.stability_selection(X, y, jaxreg.L1(), progress=pressed_from(0.5), **options)
    assert 2 <= found.resamples < 12
    assert found.interrupted
    assert "interrupted" in repr(found)
    assert not (complementary and found.resamples % 2)
    assert found.frequency.max() == 1
    counts = found.resamples * np.asarray(found.frequencies)
    np.testing.assert_allclose(counts, counts.round(), atol=1e-9)
    with pytest.raises(KeyboardInterrupt):
        jaxreg.stability_selection(X, y, jaxreg.L1(), progress=pressed_from(0), **options)


@pytest.mark.slow
def test_an_interrupted_bootstrap_is_of_the_resamples_that_are_done(keyboard):
    X, y = made(60, 300)
    options = {"key": jax.random.key(0), "resamples": 12, "lams": 10}
    whole = jaxreg.bootstrap(X, y, jaxreg.L1(), **options)
    with pytest.warns(ConvergenceWarning, match=r"bootstrap: interrupted, with \d+ of 12 resamples and 10 λ done"):
        found = jaxreg.bootstrap(X, y, jaxreg.L1(), progress=pressed_from(0.5), **options)
    assert 2 <= len(found.coefs) < 12
    assert found.interrupted
    assert "interrupted" in repr(found)
    np.testing.assert_allclose(found.coefs, whole.coefs[: len(found.coefs)], atol=1e-9)


@pytest.mark.parametrize("folds", [0, 4])
def test_progress_never_goes_back(folds):
    """Over lanes, targets and λ."""
    X, y = made(60, 300)
    seen = []
    options = {"lams": 20, "progress": lambda done, total: seen.append((done, total))}
    Y = np.c_[y, X[:, 0], -y]
    if folds:
        jaxreg.cross_validate(X, Y, jaxreg.L1(), folds=np.arange(60) % folds, **options)
    else:
        jaxreg.path(X, Y, jaxreg.L1(), **options)
    assert seen[-1] == (20, 20)
    assert seen == sorted(seen)
