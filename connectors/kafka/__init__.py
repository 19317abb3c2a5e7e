"""Source of the messages of Kafka topics."""
