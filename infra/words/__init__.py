"""Words in recordings: how they sound, and where they are said."""
