"""Trainers as a user would put them into the home folder; the tests copy this file there."""

# ruff: noqa: T201, PTH123

import logging
import os
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression
from sklearn.svm import SVC

from modelpool.core.compile import compile_estimator
from modelpool.core.signature import ModelSignature, TensorSpec
from modelpool.core.trainer import Run, TrainedModel, Trainer, TrainerParams, trainer


@trainer("straight_line")
def straight_line(run: Run, fit_intercept: bool = True):
    """Least squares through the features."""
    model = LinearRegression(fit_intercept=fit_intercept).fit(run.features, run.labels)
    run.log_metric("r2", model.score(run.features, run.labels))
    return model


class SlowMean(Trainer):
    """Predicts the mean, after a while.

    More is not to be said.
    """

    name = "slow_mean"

    class Params(TrainerParams):
        seconds: float = 1.0
        marker: str = ""

    def train(self, run: Run) -> TrainedModel:
        if run.params.marker:
            with open(run.params.marker, "a") as file:
                file.write(f"{os.getpid()}\n")
        steps = max(int(run.params.seconds / 0.05), 1)
        for step in range(steps):
            time.sleep(0.05)
            run.progress(step / steps, "waiting")
        model = DummyRegressor().fit(run.features, run.labels)
        return TrainedModel(model, metrics={"rmse": 1.0}, primary_metric="rmse", primary_mode="min")


@trainer("endless_c_code")
def endless_c_code(run: Run):
    """One call into libsvm that takes minutes and never looks at signals."""
    random = np.random.default_rng(0)
    run.log("fitting")
    SVC(C=1e9, kernel="linear", cache_size=10, max_iter=-1).fit(
        random.normal(size=(20_000, 50)), random.integers(0, 2, 20_000)
    )


@trainer("memory_bomb")
def memory_bomb(run: Run):
    """Takes ever more memory, and touches it."""
    taken = []
    while True:
        taken.append(np.ones(4_000_000))


@trainer("memory_bomb_in_children")
def memory_bomb_in_children(run: Run, marker: str = ""):
    """Two processes that take less than the limit each."""
    code = "import time; data = bytearray(400 << 20); time.sleep(600)"
    children = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    with open(marker, "w") as file:
        file.write("\n".join(str(child.pid) for child in children))
    time.sleep(600)


@trainer("crash")
def crash(run: Run, number: int = int(signal.SIGSEGV)):
    """Dies by a signal."""
    print("about to crash", flush=True)
    os.kill(os.getpid(), number)


@trainer("bad_code")
def bad_code(run: Run):
    """Raises."""
    raise ValueError("the weights\nare negative")


@trainer("quits")
def quits(run: Run):
    """Leaves without a word."""
    os._exit(0)


@trainer("chatty")
def chatty(run: Run, lines: int = 3):
    """Says things in every way there is."""
    print("printed")
    sys.stderr.write("written to stderr\n")
    os.write(1, b"written by C code\n")
    logging.getLogger("library").warning("logged")
    warnings.warn("warned", stacklevel=1)
    run.log("told\x1b[31m in red\x1b[0m")
    run.log_metric("loss", 0.5, step=1)
    run.log_metric("loss", 0.25, step=2)
    run.log_metric("broken", float("nan"))
    run.log_figure("curve", {"kind": "line", "y": np.array([1.0, np.nan])})
    for number in range(lines):
        print(f"line {number}")
    return DummyRegressor().fit(run.features, run.labels)


@trainer("secrets")
def secrets(run: Run):
    """Looks for what it must not have."""
    for name, value in sorted(os.environ.items()):
        print(f"env {name}={value}")
    print("django" if "django" in sys.modules else "no django")
    raise RuntimeError("seen enough")


@trainer("hard_to_compile")
def hard_to_compile(run: Run, how: str = "sleep"):
    """A good model, and a compiler that does not come back."""
    from modelpool.training import runner

    def compile_badly(estimator, **_):
        if how == "raise":
            raise RuntimeError("no such operator")
        if how == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        time.sleep(600)

    runner.compile_estimator = compile_badly
    return LinearRegression().fit(run.features, run.labels)


@trainer("own_onnx")
def own_onnx(run: Run):
    """Gives the finished bytes of a file."""
    model = LinearRegression().fit(run.features, run.labels)
    signature = ModelSignature((TensorSpec("x", "float64"),), (TensorSpec("predict", "float64"),))
    compiled = compile_estimator(model, signature=signature, sample=run.features)
    return TrainedModel(compiled.data, format="onnx", signature=signature, metrics={"r2": 1.0}, primary_metric="r2")


@trainer("forgetful")
def forgetful(run: Run):
    """Has no return statement."""
    LinearRegression().fit(run.features, run.labels)


@trainer("misnamed")
def misnamed(run: Run):
    """Says that it is to be judged by a metric that it does not give."""
    fitted = LinearRegression().fit(run.features, run.labels)
    return TrainedModel(fitted, metrics={"r2": 1.0, "m" * 65: 2.0}, primary_metric="r_two")


@trainer("matrix_fit")
def matrix_fit(run: Run, columns: int = 1):
    """Fits on a bare matrix."""
    return LinearRegression().fit(run.features.to_numpy()[:, :columns], run.labels)
