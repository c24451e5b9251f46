"""The forecast program of a benchmark pod: foretells histories, and says by backtests how far that is to be trusted."""

import os

# Two processes try models on as many CPUs; threads of linear algebra beside them would only wait for each other. What
# numpy is built on reads this once, when it is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
