"""Fine-grained image classification by transfer learning: train, evaluate honestly, see why it errs."""

__version__ = "0.1.0"
