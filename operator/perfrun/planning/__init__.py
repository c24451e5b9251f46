"""Scenario → plan, and schedules → the next start; both pure."""
