from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline

from modelpool.core.trainer import Run, trainer


@trainer("ridge")
def ridge(run: Run, alpha: float = 1.0) -> Pipeline:
    """Ridge regression on columns of numbers; gaps are filled with the median."""
    model = make_pipeline(SimpleImputer(strategy="median"), Ridge(alpha=alpha))
    run.log_metric("cv_r2", cross_val_score(model, run.features, run.labels).mean())
    return model.fit(run.features, run.labels)
