"""The operators: functions of NumPy arrays that return a result and the pull-backs of its inputs."""
