"""What the product knows, in pure Python."""
