"""How far people agree beyond chance."""
