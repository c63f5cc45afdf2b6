"""Which part of an image speaks for a class: maps for any network, found without being told where to look."""
