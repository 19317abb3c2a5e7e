"""Sources and sinks of table formats, Delta and Iceberg, whose logs say which files belong to which version."""
