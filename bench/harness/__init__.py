"""The parts of `bench/run.py` and `bench/count.py`; the standard library alone.

`paths` names the places, `peers` the servers, `workloads` the requests to them, `install` gets them, `server` starts and
weighs one, `measure` is one turn, `ratios` the statistics, `report` and `chart` the results.
"""
