"""Drawn birds: the species, the paint, the anatomy and the scenery behind `finegrain.data.synthetic`."""
