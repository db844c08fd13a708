"""Measures filescomfs, rclone and the bare limit; scripts/bench is its door."""
