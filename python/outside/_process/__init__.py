"""Processes, their signals and their end: supervisor, generations, workers, and what a fork takes over. It knows no HTTP."""
