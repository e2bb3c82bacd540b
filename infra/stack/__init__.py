"""The embedded stack: servers from wheels under one supervisor."""
