"""The command line: what it prints, what it writes, and what it says to bad input."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from jaxreg._cli import _cache, _data, main
from jaxreg._cli._path import parse_lams, parse_penalty

RNG = np.random.default_rng(7)
ROWS = 40


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """One cache folder for all tests: what one compiles serves the next."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch, cache):
    """An empty working folder, and no touch on the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    # jax opens the folder once and keeps it: the command's folder is to be opened, and tests elsewhere must not write there.
    compilation_cache.reset_cache()
    yield
    compilation_cache.reset_cache()


def table(path, target="price", **columns):
    """Write a CSV of two numeric features and a target, some of it replaced by ``columns``."""
    X = RNG.standard_normal((ROWS, 2))
    content = {"size": X[:, 0], "age": X[:, 1], target: X @ [2.0, 0.0] + 0.3 * RNG.standard_normal(ROWS), **columns}
    content = {name: values for name, values in content.items() if values is not None}
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(content)
        writer.writerows(zip(*content.values(), strict=True))
    return str(path)


def coefficients(folder):
    return list(csv.reader((folder / "coefficients.csv").read_text(encoding="utf-8").splitlines()))


def with_value(value, row=3):
    column = list(RNG.standard_normal(ROWS))
    column[row] = value
    return column


QUICK = ["--lams", "5", "--folds", "3"]


def fails(capsys, *argv):
    """The one line that a failing command says on stderr."""
    assert main(list(argv)) == 2
    out, err = capsys.readouterr()
    lines = err.strip().splitlines()
    assert "Traceback" not in out + err
    assert len(lines) == 1, err
    assert lines[0].startswith("jaxreg: error: ")
    return lines[0].removeprefix("jaxreg: error: ")


# --- the main job -------------------------------------------------------------------------------------------------


def test_path_of_diabetes_prints_and_writes(capsys, tmp_path):
    assert main(["path", "diabetes", "--lams", "20", "--folds", "5", "--out", "out"]) == 0
    out = capsys.readouterr().out
    for piece in (
        "442 rows × 10 features", "squared error: the target is a number", "Σ(y − η)²/(2n) + λ·Σ|w|", "λ_min", "λ_1se", "chosen",
        "nonzeros", "error ± SE", "gap", "bmi", "largest relative duality gap", "of 20 λ all converged", "analytic and autodiff agree",
        "coefficients.csv, path.json, path.png and cv.png into out", "coefficients are exactly zero",
    ):  # fmt: skip
        assert piece in out, piece
    assert max(map(len, out.splitlines())) <= 80

    rows = coefficients(tmp_path / "out")
    assert rows[0] == ["feature", "coefficient_lambda_min", "coefficient_lambda_1se"]
    assert [row[0] for row in rows[1:]] == ["(intercept)", "age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]
    written = json.loads((tmp_path / "out" / "path.json").read_text())
    assert written["formula"] == "Σ(y − η)²/(2n) + λ·Σ|w|"
    assert np.shape(written["coef"]) == (20, 10)
    assert max(written["gap"]) < 1e-9
    assert written["chosen"]["lam"] == written["lam_1se"]["lam"] >= written["lam_min"]["lam"]
    assert float(rows[4][1]) == written["coef"][written["lam_min"]["index"]][2]
    for name in ("path.png", "cv.png"):
        assert (tmp_path / "out" / name).read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_jax_settings_come_back_and_programs_are_kept(cache, tmp_path):
    before = jax.config.jax_compilation_cache_dir
    assert main(["path", table(tmp_path / "a.csv"), *QUICK]) == 0
    assert jax.config.jax_compilation_cache_dir == before
    assert not jax.config.jax_enable_x64
    kept = cache / "jaxreg" / "xla"
    assert (kept.exists() and any(kept.iterdir())) == _cache.trusted(jax.__version_info__)


@pytest.mark.slow
def test_the_same_command_twice_converges_twice(capsys, tmp_path):
    # The second run reads its programs from the cache. jax 0.6 reads them back wrongly, so there none is kept.
    data = table(tmp_path / "a.csv")
    for _ in range(2):
        jax.clear_caches()
        assert main(["path", data, *QUICK, "--standardize"]) == 0
        assert "5 λ all converged" in capsys.readouterr().out


def test_columns_of_one_name_are_an_error(capsys, tmp_path):
    (tmp_path / "twice.csv").write_text("a,b,y,y\n" + "\n".join(f"{i},{i % 3},{i % 5},{i % 7}" for i in range(20)))
    assert main(["path", str(tmp_path / "twice.csv"), *QUICK]) == 2
    assert "several columns named 'y'" in capsys.readouterr().err


@pytest.mark.slow
def test_without_a_cache_folder_it_says_so_and_goes_on(capsys, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert main(["path", table(tmp_path / "a.csv"), *QUICK]) == 0
    assert "going on without" in capsys.readouterr().err


@pytest.mark.slow
def test_text_labels_are_coded_and_the_mapping_printed(capsys, tmp_path):
    X = RNG.standard_normal(ROWS)
    kind = np.where(X + 0.5 * RNG.standard_normal(ROWS) > 0, "yes", "no")
    assert main(["path", table(tmp_path / "a.csv", "bought", size=X, bought=kind), *QUICK, "--rule", "min"]) == 0
    out = capsys.readouterr().out
    assert "logistic: the target has 2 distinct text labels" in out
    assert "no → 0, yes → 1" in out
    assert "Σ(log(1 + eᵑ) − y·η)/n" in out
    assert "chosen λ_min" in out


@pytest.mark.slow
def test_multinomial_table_and_files(capsys, tmp_path):
    assert main(["path", "iris", "--lams", "4", "--folds", "3", "--out", "out"]) == 0
    out = capsys.readouterr().out
    assert "multinomial: the target has 3 distinct whole numbers" in out
    assert "setosa → 0, versicolor → 1, virginica → 2" in out
    assert "largest coefficients" in out
    rows = coefficients(tmp_path / "out")
    assert len(rows) == 1 + 3 * 5
    assert rows[1][:2] == ["setosa", "(intercept)"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("penalty", "formula"),
    [("l2", "λ·Σw²"), ("elastic-net:0.3", "λ·(0.3·Σ|w| + ½·0.7·Σw²)"), ("l1", "λ·Σ|(w·sd)|"), ("mcp:gamma=2.5", "ΣMCP(w; λ, 2.5)")],
    ids=["l2", "net", "std", "mcp"],
)
def test_penalties_and_options(capsys, tmp_path, penalty, formula):
    extra = ["--standardize"] if "sd" in formula else []
    assert main(["path", table(tmp_path / "a.csv"), "--penalty", penalty, "--lams", "1,0.1,0.01", "--folds", "3", *extra]) == 0
    assert formula in capsys.readouterr().out


@pytest.mark.slow
def test_the_gradient_is_checked_off_the_kinks(capsys, tmp_path):
    """Equal neighbours are a kink of the fused lasso, where autodiff's choice of a subgradient is another."""
    argv = [
        "path",
        "diabetes",
        "--standardize",
        "--penalty",
        "fused-lasso",
        "--lams",
        "10,1",
        "--folds",
        "2",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(argv) == 0
    assert "analytic and autodiff agree" in capsys.readouterr().out


def test_a_nonconverged_lambda_is_said_aloud(capsys, monkeypatch, tmp_path):
    import dataclasses

    import jaxreg

    real = jaxreg.cross_validate

    def doubtful(*args, **kwargs):
        cv = real(*args, **kwargs)
        flags = np.array([True, False, True, True, True])
        return dataclasses.replace(cv, path=dataclasses.replace(cv.path, converged=flags), fold_converged=flags[None])

    monkeypatch.setattr(jaxreg, "cross_validate", doubtful)
    assert main(["path", table(tmp_path / "a.csv"), *QUICK]) == 0
    out = capsys.readouterr().out
    assert "not converged" in out
    assert "of 5 λ 1 did NOT converge" in out
    assert "of 5 fits of the folds 1 did NOT converge" in out


@pytest.mark.slow
def test_same_seed_same_answer_another_seed_other_folds(tmp_path):
    source = table(tmp_path / "a.csv")
    found = []
    for seed in ("1", "1", "2"):
        assert main(["path", source, *QUICK, "--seed", seed, "--out", "out"]) == 0
        found.append(json.loads((tmp_path / "out" / "path.json").read_text()))
    assert found[0] == found[1]
    assert found[0]["fold_ids"] != found[2]["fold_ids"]


def test_other_formats_and_integer_and_boolean_columns(capsys, tmp_path):
    import pandas as pd

    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"count": rng.integers(0, 9, ROWS), "flag": rng.random(ROWS) > 0.5, "y": rng.standard_normal(ROWS)})
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "b.csv")
    frame.to_csv(tmp_path / "c.csv", sep=";", index=False)
    np.savez(tmp_path / "d.npz", X=frame[["count", "flag"]].to_numpy(int), y=frame["y"], feature_names=["count", "flag"])
    designs = [_data.design(_data.load(str(tmp_path / name)), None) for name in ("a.parquet", "b.csv", "c.csv", "d.npz")]
    for other in designs[1:]:
        np.testing.assert_allclose(other.X, designs[0].X)
        np.testing.assert_allclose(other.y, designs[0].y)
        assert other.feature_names == ["count", "flag"]
    assert "row numbers" in designs[1].said
    assert main(["path", str(tmp_path / "a.parquet"), *QUICK]) == 0
    assert "the target is the column of that name" in " ".join(capsys.readouterr().out.split())


def test_loss_is_inferred():
    def inferred(values):
        return _data.choose_loss("y", np.asarray(values, float), None)[0]

    assert inferred(RNG.standard_normal(50)) == "squared"
    assert inferred(np.arange(50)) == "squared"
    assert inferred([0, 1] * 10) == "logistic"
    assert inferred([-1, 1] * 10) == "logistic"
    assert inferred([0, 1, 2] * 10) == "multinomial"
    assert inferred([0.5, 1.5, 2.5] * 10) == "squared"
    assert _data.choose_loss("y", np.array(["a", "b", "c"] * 5), None)[0] == "multinomial"
    assert _data.choose_loss("y", np.array([0.0, 1.0] * 5), "squared") == ("squared", "as asked with --loss")


def test_labels_other_than_0_1_are_coded(tmp_path):
    source = table(tmp_path / "a.csv", "y", y=[-1, 1] * (ROWS // 2))
    design = _data.design(_data.load(source), None)
    assert design.encoded
    assert design.classes == ["-1", "1"]
    assert set(design.y) == {0.0, 1.0}


@pytest.mark.slow
def test_column_names_are_printed_as_they_are(capsys, tmp_path):
    source = table(tmp_path / "a.csv", **{"[red]x[/red] :smile:": RNG.standard_normal(ROWS)})
    assert main(["path", source, "--target", "price", *QUICK, "--rule", "min"]) == 0
    assert "[red]x[/red] :smile:" in capsys.readouterr().out


@pytest.mark.slow
def test_columns_of_other_scales_get_a_hint(capsys, tmp_path):
    source = table(tmp_path / "a.csv", age=1e4 * RNG.standard_normal(ROWS))
    assert main(["path", source, *QUICK]) == 0
    assert "--standardize would penalise them alike" in " ".join(capsys.readouterr().out.split())
    assert main(["path", source, *QUICK, "--standardize"]) == 0
    assert "would penalise" not in capsys.readouterr().out


def test_broken_data_cache_is_read_anew(cache):
    first = _data.builtin_arrays("iris")
    (kept,) = (cache / "jaxreg" / "data").glob("iris-*.npz")
    kept.write_bytes(kept.read_bytes()[:100])
    np.testing.assert_array_equal(_data.builtin_arrays("iris")["X"], first["X"])
    assert _cache.load_arrays(kept.stem) is not None


# --- bad input ----------------------------------------------------------------------------------------------------

BAD_TABLES = {
    "nan": ({"age": with_value("")}, [], ["DATA", "column 'age' holds 1 NaN or missing", "remove those rows"]),
    "infinity": ({"age": with_value("inf"), "size": with_value("")}, [], ["'size' holds 1 NaN", "'age' holds 1 infinite"]),
    "nan target": ({"price": with_value("nan")}, [], ["--target", "'price' holds 1 NaN"]),
    "text feature": ({"age": ["old"] * ROWS}, [], ["DATA", "'age'", "not numbers", "remove them"]),
    "constant target": ({"price": [3] * ROWS}, [], ["--target", "'price' is constant (always 3)"]),
    "single class": ({"price": ["a"] * ROWS}, [], ["--target", "single class 'a'"]),
    "single class asked": ({"price": [1] * ROWS}, ["--loss", "logistic"], ["single class '1'", "at least two"]),
    "rare class": ({"price": ["a"] * (ROWS - 1) + ["b"]}, [], ["class 'b' has a single row", "at least 2"]),
    "text for squared": ({"price": ["a", "b"] * (ROWS // 2)}, ["--loss", "squared"], ["--loss squared", "holds text ('a', 'b')"]),
    "three for logistic": ({"price": ["a", "b", "c", "c"] * (ROWS // 4)}, ["--loss", "logistic"], ["needs exactly 2", "multinomial"]),
    "floats for logistic": ({}, ["--loss", "logistic"], [f"{ROWS} distinct values", "use --loss squared"]),
    "floats for multinomial": ({}, ["--loss", "multinomial"], ["not whole", "use --loss squared"]),
    "unknown target": ({}, ["--target", "cost"], ["--target", "no column 'cost'", "'size', 'age', 'price'"]),
    "too many folds": ({}, ["--folds", "41"], ["--folds", "41 folds are more than the 40 rows", "at most 40"]),
    "no features": ({"size": None, "age": None}, [], ["no feature columns besides the target 'price'"]),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_bad_tables(capsys, tmp_path, case):
    columns, options, pieces = BAD_TABLES[case]
    message = fails(capsys, "path", table(tmp_path / "a.csv", **columns), *options)
    for piece in pieces:
        assert piece in message


BAD_ARGUMENTS = {
    "unknown data": (["path", "diabetis"], ["unknown 'diabetis' (did you mean 'diabetes'?)", "wine, iris", ".npz"]),
    "missing file": (["path", "nowhere.csv"], ["DATA", "there is no file 'nowhere.csv'"]),
    "folder": (["path", "."], ["DATA", "is a folder"]),
    "suffix": (["path", "notes.doc"], ["'.doc'", ".csv, .parquet or .npz"]),
    "unreadable parquet": (["path", "broken.parquet"], ["cannot read 'broken.parquet'"]),
    "unreadable npz": (["path", "broken.npz"], ["cannot read 'broken.npz'"]),
    "empty csv": (["path", "empty.csv"], ["cannot read 'empty.csv'"]),
    "few rows": (["path", "two.csv"], ["has 2 rows", "at least 3"]),
    "npz keys": (["path", "keys.npz"], ["must hold the arrays X", "it holds 'a'"]),
    "npz shapes": (["path", "shapes.npz"], ["X has shape (5, 2) and y has shape (4,)", "5 numbers"]),
    "several targets": (["path", "targets.npz"], ["y has shape (5, 3)"]),
    "negative lambda": (["path", "iris", "--lams", "1,-2"], ["--lams", "finite and >= 0", "'1,-2'"]),
    "negative count": (["path", "iris", "--lams", "-5"], ["--lams", "finite and >= 0"]),
    "infinite lambda": (["path", "iris", "--lams", "inf,1"], ["--lams", "finite and >= 0"]),
    "no number": (["path", "iris", "--lams", "many"], ["--lams", "neither a count nor numbers"]),
    "bad range": (["path", "iris", "--lams", "1:0:5"], ["--lams", "HIGH:LOW:N"]),
    "unknown penalty": (["path", "iris", "--penalty", "l3"], ["--penalty: no penalty is called 'l3'", "elastic-net:0.5"]),
    "l1_ratio": (["path", "iris", "--penalty", "elastic-net:1.5"], ["--penalty: ElasticNet: l1_ratio must be in [0, 1], got 1.5"]),
    "l1_ratio text": (["path", "iris", "--penalty", "elastic-net:half"], ["--penalty: 'half' in 'elastic-net:half' is no number"]),
    "ratio for l1": (["path", "iris", "--penalty", "l1:0.5"], ["--penalty: l1 has no number besides λ"]),
    "misspelt penalty": (["path", "iris", "--penalty", "elastic-nte"], ["did you mean 'elastic-net'?"]),
    "matrix penalty": (["path", "iris", "--penalty", "nuclear"], ["--penalty: nuclear", "acts on matrices", "jaxreg.Nuclear"]),
    "group penalty": (["path", "iris", "--penalty", "GroupLasso"], ["--penalty: group-lasso", "needs groups and weights"]),
    "set": (["path", "iris", "--penalty", "simplex"], ["--penalty: simplex", "no strength to vary"]),
    "k missing": (["path", "iris", "--penalty", "k-support"], ["--penalty: KSupport: k must be an integer"]),
    "k no integer": (["path", "iris", "--penalty", "k-support:k=1.5"], ["--penalty: KSupport: k must be an integer", "1.5"]),
    "number twice": (["path", "iris", "--penalty", "mcp:gamma=2,gamma=3"], ["--penalty: gamma is given twice"]),
    "number twice, once bare": (["path", "iris", "--penalty", "mcp:2,gamma=3"], ["--penalty: gamma of mcp is given twice"]),
    "unknown number": (["path", "iris", "--penalty", "mcp:a=2"], ["--penalty: mcp: unknown 'a'", "gamma"]),
    "no grid": (["path", "diabetes", "--penalty", "l-half"], ["no finite λ", "--lams"]),
    "unknown loss": (["path", "iris", "--loss", "hinge"], ["--loss: unknown 'hinge'", "squared, huber, poisson"]),
    "no counts": (["path", "diabetes", "--loss", "gamma", "--target", "age"], ["Gamma: y must be > 0"]),
    "unknown rule": (["path", "iris", "--rule", "2se"], ["--rule: unknown '2se'", "1se"]),
    "one fold": (["path", "iris", "--folds", "1"], ["--folds", "at least 2", "got 1"]),
    "file in the way": (["path", "iris", "--out", "two.csv"], ["--out", "a file is in the way"]),
    "file on the way": (["path", "iris", "--out", "two.csv/deep"], ["--out", "a file is in the way"]),
    "unwritable": (["path", "iris", "--out", "/proc/jaxreg"], ["--out", "cannot be written"]),
    "folds text": (["path", "iris", "--folds", "ten"], ["--folds", "integer"]),
    "no data": (["path"], ["DATA"]),
    "unknown option": (["path", "iris", "--lambda", "1"], ["--lambda"]),
    "unknown command": (["fit"], ["fit"]),
    "train data": (["train", "diabetes"], ["DATA: unknown 'diabetes'", "digits"]),
    "train lam": (["train", "digits", "--lam", "-1"], ["--lam", ">= 0"]),
    "train nan": (["train", "digits", "--lam", "nan"], ["--lam", "finite"]),
    "train epochs": (["train", "digits", "--epochs", "0"], ["--epochs", "at least 1"]),
    "train hidden": (["train", "digits", "--hidden", "64,x"], ["--hidden", "128,64"]),
    "train sweep": (["train", "digits", "--sweep", "1"], ["--sweep", "at least 2"]),
}


@pytest.fixture
def bad_files(tmp_path):
    for name in ("broken.parquet", "broken.npz", "notes.doc"):
        (tmp_path / name).write_text("not what it says")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "two.csv").write_text("a,b\n1,2\n3,5\n")
    np.savez(tmp_path / "keys.npz", a=np.ones(3))
    np.savez(tmp_path / "shapes.npz", X=np.ones((5, 2)), y=np.ones(4))
    np.savez(tmp_path / "targets.npz", X=np.ones((5, 2)), y=np.ones((5, 3)))


@pytest.mark.parametrize("case", BAD_ARGUMENTS)
def test_bad_arguments(capsys, bad_files, case):
    argv, pieces = BAD_ARGUMENTS[case]
    message = fails(capsys, *argv)
    for piece in pieces:
        assert piece in message


@pytest.mark.parametrize(
    ("module", "argv"), [("matplotlib", ["path", "iris"]), ("pandas", ["path", "two.csv"]), ("pyarrow", ["path", "broken.parquet"])]
)
def test_missing_optional_dependency(capsys, monkeypatch, bad_files, module, argv):
    monkeypatch.setitem(sys.modules, module, None)
    message = fails(capsys, *argv)
    assert f"needs {module}, which is not installed" in message
    assert "pip install 'jaxreg[app]'" in message


def test_missing_scikit_learn(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new"))
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert "scikit-learn, which is not installed" in fails(capsys, "path", "iris")


def test_debug_shows_the_traceback(capsys):
    assert main(["path", "nowhere.csv", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_an_error_in_the_library_is_one_line(capsys, monkeypatch, tmp_path):
    import jaxreg

    def broken(*args, **kwargs):
        raise RuntimeError("first\nsecond")

    source = table(tmp_path / "a.csv")
    monkeypatch.setattr(jaxreg, "cross_validate", broken)
    assert main(["path", source]) == 2
    assert capsys.readouterr().err.strip().splitlines()[-1] == "jaxreg: error: RuntimeError: first second (--debug shows where)"


def test_lams_and_penalties_are_parsed():
    assert parse_lams("50") == 50
    assert parse_lams("0.1") == [0.1]
    assert parse_lams("1, 0.1,0") == [1.0, 0.1, 0.0]
    np.testing.assert_allclose(parse_lams("1:0.01:3"), [1, 0.1, 0.01])
    assert parse_penalty("elastic-net") == ("elastic-net", {})
    assert parse_penalty("elastic_net:0.25") == ("elastic-net", {"": 0.25})
    assert parse_penalty("mcp:gamma=2.5") == ("mcp", {"gamma": 2.5})
    assert parse_penalty("L2") == ("l2", {})
    assert parse_penalty("KSupport: k = 2") == ("k-support", {"k": 2.0})


# --- train, verify, help ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_train_compares_with_no_penalty(capsys, tmp_path):
    assert main(["train", "digits", "--epochs", "3", "--hidden", "16", "--out", "out", "--lam", "0.01"]) == 0
    out = capsys.readouterr().out
    for piece in ("1348 training rows, 449 test rows", "64 → 16 → 10", "0.01·Σw²", "λ=0.01", "λ=0", "penalty", "kernel norms"):
        assert piece in out, piece
    assert (tmp_path / "out" / "train.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_train_sweep(capsys, tmp_path):
    assert main(["train", "iris", "--epochs", "2", "--hidden", "4", "--sweep", "4", "--out", "out"]) == 0
    out = capsys.readouterr().out
    assert "kernel norms" in out
    assert "best" in out
    assert (tmp_path / "out" / "sweep.png").read_bytes()[:4] == b"\x89PNG"


def test_verify_exit_status(capsys, monkeypatch):
    from jaxreg import verify
    from jaxreg.verify import Report, Row

    good, bad = Row("L2", "gradient", "pass", 1e-16, 1e-13, "w[0]"), Row("L1", "prox", "FAIL", 0.5, 1e-13, "w[1] of (1, 2)")
    monkeypatch.setattr(verify, "all", lambda progress: Report((good,)))
    assert main(["verify"]) == 0
    assert "all hold" in capsys.readouterr().out
    monkeypatch.setattr(verify, "all", lambda progress: Report((good, bad)))
    assert main(["verify"]) == 1
    assert "FAIL L1, prox: error 5.0e-01" in capsys.readouterr().out
    assert main(["verify", "--full"]) == 1
    assert "w[1] of" in capsys.readouterr().out


@pytest.mark.parametrize("argv", [[], ["--help"], ["path", "--help"], ["train", "--help"], ["verify", "--help"]], ids=" ".join)
def test_help_has_examples(capsys, argv):
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert "Examples" in out
    assert "jaxreg verify" in out or "jaxreg path diabetes" in out or "jaxreg train digits" in out


def test_version(capsys):
    from importlib.metadata import version

    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"jaxreg {version('jaxreg')}"


def test_argument_errors_wait_for_nothing_expensive():
    """In a fresh process: an argument error is known before matplotlib, pandas or scikit-learn are imported."""
    code = (
        "import sys\nfrom jaxreg.cli import main\nstatus = main(['path', 'iris', '--loss', 'hinge'])\n"
        "print(status, sorted({'matplotlib', 'pandas', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2 []"
