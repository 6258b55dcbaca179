from __future__ import annotations

import pytest
import torch
from torch import nn

from rarefy.data import Spec, Split
from rarefy.evaluation.ood import SCORES, CannotScore, View, detect_ood, measure_detection, score_splits


def test_features_are_what_enters_the_last_linear_layer(net: nn.Module, view: View) -> None:
    net.eval()
    torch.testing.assert_close(net[-1](view.features), view.logits, rtol=1e-5, atol=1e-5)


def test_in_distribution_normalisation_is_applied(spec: Spec, split: Split) -> None:
    flat = View(nn.Flatten(), spec, split).logits
    torch.testing.assert_close(flat, spec.normalize(split.images / 255).flatten(1), rtol=1e-5, atol=1e-5)


def test_a_model_without_a_linear_layer_has_logits_but_no_features(spec: Spec, split: Split) -> None:
    view = View(nn.Flatten(), spec, split)
    assert SCORES.build("energy")(view).shape == (11,)
    with pytest.raises(ValueError, match=r"no nn\.Linear"):
        _ = view.features


def test_each_split_goes_through_the_model_once(net: nn.Module, spec: Spec, split: Split, reference: Split) -> None:
    pytest.importorskip("pytorch_ood", reason="needs the extra 'ood'")
    seen: list[int] = []
    net.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    names = ("max_softmax", "energy", "mahalanobis", "knn")
    outside = {"a": split, "b": reference}
    found = detect_ood(net, spec, split, outside, {n: SCORES.build(n) for n in names}, reference=reference)
    assert sum(seen) == 11 + 60 + 11 + 60
    assert list(found) == ["a", "b"] and list(found["a"]) == list(names)
    assert found["a"]["energy"]["auroc"] == pytest.approx(0.5)  # the same images as inside


def test_raw_scores_are_those_of_the_view(net: nn.Module, spec: Spec, split: Split, reference: Split) -> None:
    methods = {name: SCORES.build(name) for name in ("max_softmax", "odin")}
    found = score_splits(net, spec, {"test": split, "train": reference}, methods, batch_size=4)
    assert list(found) == ["test", "train"] and list(found["test"]) == ["max_softmax", "odin"]
    for name, method in methods.items():
        assert torch.equal(found["test"][name], method(View(net, spec, split, batch_size=4)))
        assert found["train"][name].shape == (60,)
    numbers = detect_ood(net, spec, split, {"train": reference}, methods, batch_size=4)
    for name in methods:
        assert numbers["train"][name] == measure_detection(found["test"][name], found["train"][name])


def test_progress_names_each_split_before_it_is_scored(net: nn.Module, spec: Spec, split: Split) -> None:
    events: list[str] = []
    net.register_forward_hook(lambda module, inputs, output: events.append("pass"))
    methods = {"energy": SCORES.build("energy")}
    score_splits(net, spec, {"inside": split, "outside": split}, methods, progress=events.append)
    assert events == ["inside", "pass", "outside", "pass"]


def test_a_score_that_is_fitted_says_what_it_lacks(net: nn.Module, spec: Spec, split: Split) -> None:
    with pytest.raises(ValueError, match="'knn' is fitted on training images: pass reference="):
        score_splits(net, spec, {"test": split}, {"knn": SCORES.build("knn", k=1)})


def test_a_score_that_cannot_be_computed_is_left_out_and_said(
    net: nn.Module, spec: Spec, split: Split, caplog: pytest.LogCaptureFixture
) -> None:
    few = Split(split.images, torch.zeros(11, dtype=torch.int64))  # eleven images, all of one class
    scores = {name: SCORES.build(name) for name in ("energy", "knn", "mahalanobis")}
    found = detect_ood(net, spec, split, {"others": few}, scores, reference=few)
    assert set(found["others"]) == {"energy"}
    assert "k=50" in caplog.text and "every class" in caplog.text
    with pytest.raises(CannotScore) as caught:
        detect_ood(net, spec, split, {"others": few}, {"knn": SCORES.build("knn")}, reference=few)
    assert set(caught.value.left_out) == {"knn"}


def test_a_score_that_is_not_finite_is_left_out(spec: Spec, split: Split) -> None:
    endless = nn.Sequential(nn.Flatten(), nn.Linear(48, 3))
    with torch.no_grad():
        endless[1].bias[0] = float("inf")
    scores = {name: SCORES.build(name) for name in ("max_logit", "energy")}
    with pytest.raises(CannotScore, match="not finite"):
        score_splits(endless, spec, {"some": split}, scores)
