"""How a generator is learned: one method a file, with the numbers of its training."""
