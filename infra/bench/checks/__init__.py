"""How long the checks take, how that grows, how much memory they need, and what others take for the same work."""
