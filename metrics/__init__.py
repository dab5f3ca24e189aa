"""How good is a drawing? One file a measurement, on arrays and networks: evaluate.py puts them together."""

import os

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # before torch: threads that wait sleep soon, see launch/processes.py
