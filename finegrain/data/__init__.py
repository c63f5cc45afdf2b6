"""Datasets: layouts on disk, splits, the decoder, augmentation, loading."""
