"""What our estimators share: scikit-learn's base classes, where it is installed, and its checks of data."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import checks, extras


class Missing:
    """The base of an estimator without scikit-learn: it says what to install when it is called."""

    def __new__(cls, *_: Any, **__: Any) -> Any:
        """Import what is missing, in vain."""
        extras.require("sklearn.base", cls.__name__)
        raise ImportError("scikit-learn was installed after numsolve was imported; start Python again")


def base(*mixins: str) -> type:
    """Make the class that an estimator inherits from.

    Parameters
    ----------
    *mixins : str
        Names of classes in ``sklearn.base``, as "ClassifierMixin".

    Returns
    -------
    type
        Of scikit-learn's BaseEstimator and the mixins; or, where scikit-learn is not installed, a class whose
        instances cannot be made, so that the column can still be imported whole.
    """
    if not extras.installed("sklearn"):
        return Missing
    sklearn = extras.require("sklearn.base", "an estimator")
    return type("Estimator", tuple(getattr(sklearn, name) for name in (*mixins, "BaseEstimator")), {})


def data(
    estimator: Any, X: Any, y: Any = None, *, fitting: bool = False, sparse: bool = False, **least: int
) -> Any:
    """Read the rows of an estimator's data in float64, and keep or compare their number and names of columns.

    Parameters
    ----------
    estimator
        Whose data these are; fitted, unless `fitting`.
    X : array_like or data frame
        The data.
    y : array_like, optional
        A target for each row, which is read with them.
    fitting : bool
        Whether they are those of `fit`.
    sparse : bool
        Whether a sparse matrix is taken; it comes back in CSR.
    **least
        scikit-learn's `ensure_min_samples` and `ensure_min_features`.

    Returns
    -------
    array or sparse matrix of shape (n, d), or a pair of it and of y
    """
    checks.refuse_masked("X", X)
    validation = extras.require("sklearn.utils.validation", type(estimator).__name__)
    if not fitting:
        validation.check_is_fitted(estimator)
    accept = "csr" if sparse else False
    targets = () if y is None else (y,)
    with np.errstate(over="ignore", invalid="ignore"):  # it sums the entries before it looks at each
        return validation.validate_data(
            estimator, X, *targets, reset=fitting, dtype=np.float64, accept_sparse=accept, **least
        )
