"""Rule sets for the domains the product serves, as data files; each extends ``default``."""

DOMAINS = ("healthcare", "industrial", "retail", "support", "vehicles")
"""Names of the files, without their ending; a rule set may extend them by these names."""
