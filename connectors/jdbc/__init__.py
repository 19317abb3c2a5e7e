"""Source of any database that has a JDBC driver."""
