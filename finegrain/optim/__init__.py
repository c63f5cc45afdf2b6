"""Optimisers, parameter groups, schedules and penalties."""
