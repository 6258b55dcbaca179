from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional


@pytest.fixture
def images() -> Tensor:
    """Four smooth colour images: noise of 8 x 8 enlarged to 32 x 32."""
    coarse = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    smooth = functional.interpolate(coarse, (32, 32), mode="bicubic").clamp(0, 1)
    return smooth.mul(255).to(torch.uint8)
