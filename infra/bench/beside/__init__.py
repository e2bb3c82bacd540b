"""The kernels of the checks beside what people use today for the same work, on the same arrays, in one run.

Modules named ``side_…`` run in a process of their own; all but ours and the bare one in a foreign environment, where
nothing of this project but this package is imported.
"""
