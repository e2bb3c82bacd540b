"""One cause behind findings of many samples is one incident."""
