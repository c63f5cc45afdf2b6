"""The two networks of a GAN, one a file."""
