"""What decisions teach: model quality, thresholds, what to label next, corrected samples to train on."""
