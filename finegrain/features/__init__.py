"""What a frozen backbone computes, computed once: extraction, its cache on disk, and heads on top."""
