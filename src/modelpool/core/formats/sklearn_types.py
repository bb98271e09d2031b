"""The types that a scikit-learn file may hold beyond those that skops trusts itself, reviewed one by one.

Building a type of this list from data runs only NumPy and scikit-learn code that stores arrays and numbers. Those in
:data:`CHECKED_TYPES` also follow indices in native code, where a wrong index crashes or hangs the process; the format
checks their structure before first use (``sklearn_check.py``). skops trusts estimators by itself, NumPy's scalars and
arrays, and SciPy's sparse arrays. What is missing here is refused by name: functions, lambdas, other packages' classes.
"""

from __future__ import annotations

CHECKED_TYPES = frozenset(
    {
        "sklearn.tree._tree.Tree",  # nodes of all trees and forests
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",  # nodes of histogram gradient boosting
        "sklearn.neighbors._kd_tree.KDTree",  # neighbour indices, rebuilt from the kept rows
        "sklearn.neighbors._kd_tree.KDTree64",
        "sklearn.neighbors._kd_tree.KDTree32",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._ball_tree.BallTree64",
        "sklearn.neighbors._ball_tree.BallTree32",
    }
)

PLAIN_TYPES = frozenset(
    {
        # a dictionary with attributes: fitted searches and named steps
        "sklearn.utils._bunch.Bunch",
        "sklearn.utils.Bunch",
        # loss and link functions of boosting and linear models: parameters of formulas
        "sklearn._loss.loss.HalfBinomialLoss",
        "sklearn._loss.loss.HalfMultinomialLoss",
        "sklearn._loss.loss.HalfSquaredError",
        "sklearn._loss.loss.HalfPoissonLoss",
        "sklearn._loss.loss.HalfGammaLoss",
        "sklearn._loss.loss.AbsoluteError",
        "sklearn._loss.loss.PinballLoss",
        "sklearn._loss.loss.HuberLoss",
        "sklearn._loss.loss.ExponentialLoss",
        "sklearn._loss._loss.CyHalfBinomialLoss",
        "sklearn._loss._loss.CyHalfMultinomialLoss",
        "sklearn._loss._loss.CyHalfSquaredError",
        "sklearn._loss._loss.CyHalfPoissonLoss",
        "sklearn._loss._loss.CyHalfGammaLoss",
        "sklearn._loss._loss.CyAbsoluteError",
        "sklearn._loss._loss.CyPinballLoss",
        "sklearn._loss._loss.CyHuberLoss",
        "sklearn._loss._loss.CyExponentialLoss",
        "sklearn._loss.link.IdentityLink",
        "sklearn._loss.link.LogitLink",
        "sklearn._loss.link.LogLink",
        "sklearn._loss.link.HalfLogitLink",
        "sklearn._loss.link.MultinomialLogit",
        "sklearn._loss.link.Interval",
        # calibration: two numbers, or a fitted isotonic regression
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        # binning of histogram gradient boosting: thresholds
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        # distances by name
        "sklearn.metrics._dist_metrics.EuclideanDistance",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.metrics._dist_metrics.EuclideanDistance32",
        "sklearn.metrics._dist_metrics.ManhattanDistance",
        "sklearn.metrics._dist_metrics.ManhattanDistance64",
        "sklearn.metrics._dist_metrics.MinkowskiDistance",
        "sklearn.metrics._dist_metrics.MinkowskiDistance64",
        # learning rates of linear models and perceptrons: numbers
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        # how a ColumnTransformer remembers a leftover column
        "sklearn.compose._column_transformer._RemainderColsList",
        # containers and numbers of the standard library
        "collections.OrderedDict",
        "collections.defaultdict",
        "numpy.random.mtrand.RandomState",
        "numpy.dtype",
        "builtins.slice",
    }
)

REVIEWED_TYPES = CHECKED_TYPES | PLAIN_TYPES
