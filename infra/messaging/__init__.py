"""NATS JetStream: events in, events out."""
