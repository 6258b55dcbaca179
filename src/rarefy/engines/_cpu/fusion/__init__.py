"""Operations on blocked tensors as nodes of autograd's graph, recorded while the user's forward runs."""
