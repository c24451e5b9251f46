"""`python -m perfrun.devcluster`: the same commands as `perfrun dev`, for use where only this package is wanted."""

from perfrun.devcluster.commands import app

app(prog_name="python -m perfrun.devcluster")
