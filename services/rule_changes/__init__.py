"""A project's change from one rule set to another: tried before it goes live, then activated."""
