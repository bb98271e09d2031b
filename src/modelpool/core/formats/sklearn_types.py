"""The types that a scikit-learn file may hold beyond those that skops trusts itself, reviewed one by one.

Building a type of this list from data runs only NumPy and scikit-learn code that stores arrays and numbers. Those in
:data:`CHECKED_TYPES` also follow indices in native code, where a wrong index crashes or hangs the process; the format
checks their structure before first use (``sklearn_check.py``). skops trusts estimators by itself, NumPy's scalars and
arrays and functions of arrays, and SciPy's sparse arrays. What is missing here is refused by name: other functions,
lambdas, other packages' classes. Left out on purpose: splines (``BSpline`` evaluates foreign knots in native code),
kernels by a name or function of the author's choice (``PairwiseKernel``), and Birch (skops does not write it).
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
        "sklearn._loss.loss.HalfTweedieLoss",
        "sklearn._loss.loss.HalfTweedieLossIdentity",
        "sklearn._loss._loss.CyHalfTweedieLoss",
        "sklearn._loss._loss.CyHalfTweedieLossIdentity",
        "sklearn._loss.link.IdentityLink",
        "sklearn._loss.link.LogitLink",
        "sklearn._loss.link.LogLink",
        "sklearn._loss.link.HalfLogitLink",
        "sklearn._loss.link.MultinomialLogit",
        "sklearn._loss.link.Interval",
        # calibration: two numbers, or a fitted isotonic regression
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.calibration._TemperatureScaling",
        # one against the rest, where a class is always or never there: that class
        "sklearn.multiclass._ConstantPredictor",
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
        # Gaussian processes: formulas of NumPy over kept rows; SciPy compares the shapes that it is given
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        "sklearn.gaussian_process.kernels.CompoundKernel",
        "sklearn.gaussian_process.kernels.ConstantKernel",
        "sklearn.gaussian_process.kernels.DotProduct",
        "sklearn.gaussian_process.kernels.Exponentiation",
        "sklearn.gaussian_process.kernels.ExpSineSquared",
        "sklearn.gaussian_process.kernels.Matern",
        "sklearn.gaussian_process.kernels.Product",
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.gaussian_process.kernels.RationalQuadratic",
        "sklearn.gaussian_process.kernels.Sum",
        "sklearn.gaussian_process.kernels.WhiteKernel",
        # what a search remembers of its fit: how it split and scored; numbers, never called by a prediction
        "sklearn.metrics._scorer._PassthroughScorer",
        "sklearn.metrics._scorer._MultimetricScorer",
        "sklearn.metrics._scorer._Scorer",
        "sklearn.model_selection._split.GroupKFold",
        "sklearn.model_selection._split.KFold",
        "sklearn.model_selection._split.RepeatedKFold",
        "sklearn.model_selection._split.RepeatedStratifiedKFold",
        "sklearn.model_selection._split.ShuffleSplit",
        "sklearn.model_selection._split.StratifiedGroupKFold",
        "sklearn.model_selection._split.StratifiedKFold",
        "sklearn.model_selection._split.StratifiedShuffleSplit",
        "sklearn.model_selection._split.TimeSeriesSplit",
        # functions of arrays that return numbers and touch nothing else: scores of searches and of columns
        "sklearn.feature_selection._mutual_info.mutual_info_classif",
        "sklearn.feature_selection._mutual_info.mutual_info_regression",
        "sklearn.feature_selection._univariate_selection.chi2",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.feature_selection._univariate_selection.f_regression",
        "sklearn.feature_selection._univariate_selection.r_regression",
        "sklearn.metrics._classification.accuracy_score",
        "sklearn.metrics._classification.balanced_accuracy_score",
        "sklearn.metrics._classification.brier_score_loss",
        "sklearn.metrics._classification.f1_score",
        "sklearn.metrics._classification.log_loss",
        "sklearn.metrics._classification.matthews_corrcoef",
        "sklearn.metrics._classification.precision_score",
        "sklearn.metrics._classification.recall_score",
        "sklearn.metrics._ranking.average_precision_score",
        "sklearn.metrics._ranking.roc_auc_score",
        "sklearn.metrics._regression.explained_variance_score",
        "sklearn.metrics._regression.max_error",
        "sklearn.metrics._regression.mean_absolute_error",
        "sklearn.metrics._regression.mean_absolute_percentage_error",
        "sklearn.metrics._regression.mean_squared_error",
        "sklearn.metrics._regression.median_absolute_error",
        "sklearn.metrics._regression.r2_score",
        "sklearn.metrics._regression.root_mean_squared_error",
        # how a ColumnTransformer remembers a leftover column
        "sklearn.compose._column_transformer._RemainderColsList",
        # how columns were chosen by type or name: a pattern and types, asked during the fit only
        "sklearn.compose._column_transformer.make_column_selector",
        "builtins.object",
        "numpy.floating",
        "numpy.integer",
        "numpy.number",
        # containers and numbers of the standard library
        "collections.OrderedDict",
        "collections.defaultdict",
        "numpy.random.mtrand.RandomState",
        "numpy.dtype",
        "builtins.slice",
    }
)

REVIEWED_TYPES = CHECKED_TYPES | PLAIN_TYPES
