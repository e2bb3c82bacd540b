"""Rule sets: thresholds and tolerances as versioned data."""
