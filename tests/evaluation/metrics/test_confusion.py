"""The confusion matrix against scikit-learn's."""

from __future__ import annotations

from sklearn.metrics import confusion_matrix

from rarefy.evaluation.metrics.confusion import Confusion


def test_it_is_scikit_learn_s(predictions):
    labels, guesses = predictions.labels.numpy(), predictions.logits.argmax(1).numpy()
    expected = confusion_matrix(labels, guesses, labels=range(predictions.logits.shape[1]))
    assert Confusion()(predictions) == expected.tolist()
