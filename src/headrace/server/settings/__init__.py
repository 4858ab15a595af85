"""The settings: their meaning, and where their values come from."""
