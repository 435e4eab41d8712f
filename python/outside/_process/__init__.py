"""Processes, their signals and their end: supervisor, generations, workers, and children that a program forks. It knows no
HTTP."""
