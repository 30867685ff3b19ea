"""Every experiment passes, draws its picture, and fails when the sign of anything that jaxreg computed is flipped."""

import pathlib
import warnings

import numpy as np
import pytest

from experiments import EXPERIMENTS, _check, _run, _style
from jaxreg._dtypes import x64_scope


def _statuses(module, data, fit):
    """What every check says of a fit that makes no sense, in order."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [check.status for check in module.check(data, fit)]


def _changed(fit, change):
    return type(fit)(*(change(np.asarray(value, float)) for value in fit))


# All but two that are quick: the others train networks, cross-validate, or compile much. (`.ci/run` runs weight_decay by itself.)
LONG = ("logistic", "l1_or_l2", "network", "weight_decay", "choosing_lambda", "elastic_net", "sparsity", "shrinkage", "ridge")


@pytest.mark.thin(2)
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name in LONG else ()) for name in EXPERIMENTS])
def test_passes_and_can_fail(name):
    """Each field with its sign flipped fails a check; each check fails if all fields are negated, zero, shifted, reversed or shuffled."""
    module = _run.load(name)
    unconfirmed = set(getattr(module, "UNCONFIRMED", ()))
    with x64_scope(), _style.style():
        data = module.data()
        fit = module.fit(data)
        checks = list(module.check(data, fit))
        assert {check.what for check in checks if check.status == "FAIL"} == unconfirmed
        passed = {check.what for check in checks if check.status == "PASS"}
        assert len(passed) >= 3
        for field, value in fit._asdict().items():
            flipped = fit._replace(**{field: -np.asarray(value)})
            found = module.check(data, flipped)  # a generator: it stops at the first check that fails
            assert any(c.status == "FAIL" and c.what not in unconfirmed for c in found), f"{name}: no check sees the sign of {field}"
        shuffled = np.random.default_rng(0).permutation
        reverse, shuffle = lambda x: x[::-1] if x.ndim else x + 1, lambda x: shuffled(x.ravel()).reshape(x.shape)
        changes = (np.negative, np.zeros_like, lambda x: x + 1, reverse, shuffle)
        statuses = [_statuses(module, data, _changed(fit, change)) for change in changes]
        for i, check in enumerate(checks):
            if check.status == "PASS":
                assert any(found[i] == "FAIL" for found in statuses), f"{name}: nothing fails {check.what}"
        made = module.figure(data, fit)
    for axes in made.axes:
        named = axes.get_xlabel() or axes.get_ylabel()
        assert named, f"{name}: a panel without labels"
    assert any(axes.get_title(loc="left") for axes in made.axes)


@pytest.mark.parametrize(
    ("check", "passes"),
    [
        (_check.agree("", [1.0, 2.0], [1.0, 2.0 + 1e-9], 1e-9), True),
        (_check.agree("", [1.0, -2.0], [1.0, 2.0], 1e-9), False),
        (_check.agree("", [np.nan], [1.0], 1e9), False),
        (_check.agree("", [1.0], [1.0, 1.0], 1e9), False),
        (_check.agree("", [], [], 1e9), False),
        (_check.at_most("", [1.0, 2.0], 2), True),
        (_check.at_most("", [1.0, np.nan], 2), False),
        (_check.at_least("", [1.0, 2.0], 1.5), False),
        (_check.below_on_average("", [1.0, 1.1, 0.9], [2.0, 2.2, 2.1]), True),
        (_check.below_on_average("", [2.0, 2.2, 2.1], [1.0, 1.1, 0.9]), False),
        (_check.holds("", "", "", np.array([True, False])), False),
    ],
)
def test_comparisons(check, passes):
    assert check.status == ("PASS" if passes else "FAIL")


def test_missing_peer_is_not_run():
    check = _check.against("no_such_peer", "equal", lambda peer: _check.agree("equal", 1.0, 1.0, 0))
    assert check.status == "not run"
    assert "no_such_peer" in check.measured


@pytest.mark.parametrize(("missing", "status"), [("torch", "not run"), ("nmupy", "FAIL"), ("jaxreg.nothing", "FAIL")])
def test_only_a_missing_peer_excuses_an_experiment(monkeypatch, missing, status):
    def load():
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    monkeypatch.setattr(_run.load("ridge"), "data", load)
    assert _run.run("ridge").status == status


class TestReport:
    @pytest.fixture
    def results(self, monkeypatch, capsys):
        def broken(data):
            raise RuntimeError("told to fail")

        whole = _run.run("ridge")
        monkeypatch.setattr(_run.load("ridge"), "fit", broken)
        return [whole, _run.run("ridge")]

    @pytest.mark.slow
    def test_an_error_fails_that_experiment_alone(self, results):
        assert [result.status for result in results] == ["PASS", "FAIL"]
        assert "told to fail" in results[1].checks[-1].measured

    def test_page_is_whole_and_self_contained(self, results):
        from experiments._report import html

        page = html(results)
        for text in (results[0].title, "Longley", "FAIL", "told to fail", "data:image/png;base64,", "<math"):
            assert text in page
        assert "http://" not in page.replace("http://www.w3.org", "")
        assert "https://" not in page


def test_readme_states_each_claim():
    readme = (pathlib.Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    for name in EXPERIMENTS:
        assert f"| [{name}](experiments/{name}.py) | {_run.load(name).CLAIM} |" in readme


def test_command_line(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from experiments.__main__ import app

    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    listed = runner.invoke(app, ["--list"])
    assert [line.split()[0] for line in listed.output.splitlines() if line[:1] != " "] == list(EXPERIMENTS)
    assert runner.invoke(app, ["nonsense"]).exit_code == 2
    done = runner.invoke(app, ["ridge", "--pictures", "out"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "ridge.png").read_bytes().startswith(b"\x89PNG")
    assert "Longley" in (tmp_path / "report.html").read_text(encoding="utf-8")
