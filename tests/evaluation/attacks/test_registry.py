from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rarefy.data import Spec
from rarefy.evaluation.attacks import ATTACKS, compute_robust_accuracy


@pytest.mark.parametrize("batch_size", [1, 5, 24])
def test_batches_do_not_matter(batch_size: int, net: nn.Module, spec: Spec, images: Tensor, labels: Tensor) -> None:
    attack = ATTACKS.build("pgd", steps=3, restarts=2, eps=0.02)
    found = compute_robust_accuracy(net, spec, images, labels, attack, batch_size=batch_size, seed=5)
    assert found == compute_robust_accuracy(net, spec, images, labels, attack, batch_size=7, seed=5)
    assert 0 < float(str(found["robust"])) < 20 / 24  # else it would say nothing


def test_starts_depend_on_the_seed_and_not_on_the_batch(spec: Spec, images: Tensor, labels: Tensor) -> None:
    starts: list[Tensor] = []

    class Spy(nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            starts.append(pixels.detach())
            return pixels.flatten(1)[:, :5]

    def ends(batch_size: int, seed: int) -> Tensor:
        starts.clear()
        compute_robust_accuracy(
            Spy(), spec, images, labels, ATTACKS.build("pgd", steps=1), batch_size=batch_size, seed=seed
        )
        return torch.cat(starts[::4])  # gradient at the start, value of the end, the image, the end once more

    torch.testing.assert_close(ends(5, seed=1), ends(24, seed=1), rtol=0, atol=0)
    assert not torch.equal(ends(24, seed=1), ends(24, seed=2))


def test_a_wrong_image_is_never_robust_and_the_interval_is_wilsons() -> None:
    """Attacking a linear model that is sure of the wrong label cannot help it."""
    spec = Spec("dots", classes=2, channels=1, height=1, width=2, mean=(0.0,), std=(1.0,))
    images = torch.tensor([[[[255, 0]]]] * 10, dtype=torch.uint8)
    labels = torch.tensor([0] * 8 + [1] * 2)
    found = compute_robust_accuracy(nn.Flatten(), spec, images, labels, ATTACKS.build("fgsm"))
    assert found["clean"] == found["robust"] == 0.8
    z, n, p = 1.959963984540054, 10, 0.8
    centre, half = (p + z**2 / 2 / n), z * (p * (1 - p) / n + z**2 / 4 / n**2) ** 0.5
    assert found["robust_interval"] == pytest.approx(
        [(centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)]
    )
    assert found["images"] == 10


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (torch.zeros(0, 3, 4, 4, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64)),
        (torch.zeros(2, 3, 4, 4), torch.zeros(2, dtype=torch.int64)),
        (torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64)),
    ],
)
def test_what_cannot_be_attacked(images: Tensor, labels: Tensor, net: nn.Module, spec: Spec) -> None:
    with pytest.raises(ValueError, match="uint8 images"):
        compute_robust_accuracy(net, spec, images, labels, ATTACKS.build("fgsm"))
