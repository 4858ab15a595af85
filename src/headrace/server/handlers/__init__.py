"""What native handlers are given, and what they return."""
