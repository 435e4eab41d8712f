"""What `bench/run.py` and `bench/count.py` are made of; the standard library alone.

`paths` names the places, `peers` the servers, `workloads` what they are asked, `install` gets them, `server` starts and
weighs one, `measure` is one turn, `ratios` the statistics, `report` and `chart` the results.
"""
