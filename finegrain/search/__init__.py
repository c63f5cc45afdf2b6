"""Which setting is best: the learning-rate range test, and trials in a study on disk."""
