"""Images of classes that a network generates: a conditional GAN, its training and what it leaves."""
