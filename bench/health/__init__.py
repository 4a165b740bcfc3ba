"""Calibration of gradient health: many nets, what becomes of them, and what ``diagnose`` says."""
