"""The networks of generative models, one a file."""
