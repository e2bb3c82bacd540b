"""Pictures of the evidence behind findings."""
