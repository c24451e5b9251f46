"""Pictures of what was measured, drawn by hand as SVGs that any browser shows."""
