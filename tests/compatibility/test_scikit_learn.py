"""Our estimators pass scikit-learn's own checks, and work with its tools."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
from scipy.optimize import LinearConstraint

pytest.importorskip("sklearn", minversion="1.6")

from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from numsolve import sketch, special, transport

ESTIMATORS = [
    special.VMFMixture(rng=0),
    transport.DomainAdaptation(),
    sketch.ConstrainedLogisticRegression(),
    sketch.ConstrainedLogisticRegression(norm=2.0),
]

ASKS_FOR_A_CLASSIFIER = (
    "of an estimator with predict_proba that takes sparse data the check wants the tags of a classifier, "
    "which a density has not; test_mixture has the test with sparse data"
)


def excused(estimator):
    """The checks that an estimator fails, and why."""
    names = ("check_estimator_sparse_array", "check_estimator_sparse_matrix")
    return dict.fromkeys(names, ASKS_FOR_A_CLASSIFIER) if isinstance(estimator, special.VMFMixture) else {}


@pytest.mark.filterwarnings("ignore:Xt, the target data")  # scikit-learn knows of no target
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=excused)
def test_scikit_learns_own_checks_pass(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_clones_and_pickles_are_the_same_estimator(estimator):
    for copy in (clone(estimator), pickle.loads(pickle.dumps(estimator))):
        assert repr(copy) == repr(estimator)
        assert copy.get_params() == estimator.get_params()


def test_a_search_over_a_grid_finds_the_number_of_components():
    means = np.eye(6)[:3]
    X = np.concatenate([special.vmf_sample(mu, 40.0, 80, rng=k) for k, mu in enumerate(means)])
    search = GridSearchCV(special.VMFMixture(rng=0), {"n_components": [1, 2, 3]}, cv=3).fit(
        np.random.default_rng(0).permutation(X)
    )
    assert search.best_params_ == {"n_components": 3}


def test_a_pipeline_with_constraints_is_cross_validated():
    X, y = load_breast_cancer(return_X_y=True)
    free = np.append(np.ones(X.shape[1]), 0.0)
    model = sketch.ConstrainedLogisticRegression(constraints=LinearConstraint(free, 0.0, 0.0))
    scores = cross_val_score(make_pipeline(StandardScaler(), model), X, y, cv=3)
    assert scores.min() > 0.9


@pytest.mark.filterwarnings("ignore:Xt, the target data")
def test_data_frames_keep_their_names():
    pandas = pytest.importorskip("pandas")
    data = load_iris()
    frame = pandas.DataFrame(data.data, columns=data.feature_names)
    moved = transport.DomainAdaptation().set_output(transform="pandas").fit_transform(frame, Xt=frame + 1.0)
    assert list(moved.columns) == list(frame.columns)
    mixture = special.VMFMixture(2, rng=0).fit(frame)
    assert list(mixture.feature_names_in_) == list(frame.columns)
    y = pandas.Series(data.target == 0, index=frame.index[::-1])  # an index says nothing of the order
    ours = sketch.ConstrainedLogisticRegression().fit(frame, y)
    same = sketch.ConstrainedLogisticRegression().fit(data.data, data.target == 0)
    np.testing.assert_allclose(ours.coef_, same.coef_, rtol=1e-12)


def test_without_scikit_learn_the_columns_load_and_the_estimators_say_what_to_install():
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "from numsolve.special import *; from numsolve.sketch import *; from numsolve.transport import *\n"
        "for estimator in (VMFMixture, ConstrainedLogisticRegression, DomainAdaptation):\n"
        "    try:\n"
        "        estimator()\n"
        "    except ModuleNotFoundError as error:\n"
        "        print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert all(line.endswith('pip install "numsolve[sklearn]"') for line in lines)


def test_the_columns_load_scikit_learn_for_an_estimator_only():
    code = (
        "import sys; from numsolve import sketch, special, transport\n"
        "special.vmf_fit, sketch.minimize, transport.solve\n"
        "print('sklearn' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
