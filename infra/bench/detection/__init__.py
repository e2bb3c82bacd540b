"""How well the checks find known faults in clean, real labels."""
