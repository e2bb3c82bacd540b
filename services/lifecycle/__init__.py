"""What moves a sample revision from stage to stage."""
