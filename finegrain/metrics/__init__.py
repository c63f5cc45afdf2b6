"""What a prediction was worth."""
