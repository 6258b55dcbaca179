"""Regions of a model that are computed in blocked tensors, forward and backward."""
