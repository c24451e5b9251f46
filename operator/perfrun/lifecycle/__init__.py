"""Observe → decide → apply: how a run goes on, whatever happened before."""
