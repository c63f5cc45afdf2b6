"""Small networks to train from random weights, one family a file; `scratch_library.py` gives them their names."""
