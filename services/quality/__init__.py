"""How often people are right, by answers that are known and by what experts decided later."""
