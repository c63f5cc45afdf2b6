"""Pretrained networks behind one interface, and their weights."""
