"""Sparse training in other libraries' trainers: callbacks for Hugging Face's ``Trainer`` and for Lightning.

Each attaches masks to the trainer's optimizer, saves and restores them with the trainer's checkpoints, and logs density
and overlap of the masks. `rarefy.sparsify` in your own loop needs none of this.
"""

from rarefy.integrations.hugging_face import HuggingFaceCallback
from rarefy.integrations.lightning import LightningCallback

__all__ = ["HuggingFaceCallback", "LightningCallback"]
