"""Models of this library as estimators of scikit-learn's.

    import tinygrad_like as tg

    search = GridSearchCV(tg.sklearn.Classifier(), {"lr": [1e-3, 1e-2], "module__hidden": [(32,)]})

estimator.py   Estimator, their base class: checks, the training loop, early stopping
classifier.py  Classifier
regressor.py   Regressor
mlp.py         MLP: the module that is made if none is given

It is loaded at its first use, and needs scikit-learn: `pip install 'tinygrad-like[sklearn]'`.
Within this folder, `import sklearn` is scikit-learn.
"""

try:
    import sklearn.utils.validation
except ImportError as error:
    raise ImportError(
        "[sklearn] tg.sklearn needs scikit-learn 1.6 or later: pip install 'tinygrad-like[sklearn]'"
    ) from error

from tinygrad_like.sklearn.classifier import Classifier
from tinygrad_like.sklearn.mlp import MLP
from tinygrad_like.sklearn.regressor import Regressor

__all__ = ["MLP", "Classifier", "Regressor"]
