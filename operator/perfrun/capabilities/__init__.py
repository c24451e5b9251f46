"""One module per thing that can be verified; third parties add theirs by the entry point ``perfrun.capabilities``."""
