"""What of a pretrained network is trained, and what stays frozen."""
