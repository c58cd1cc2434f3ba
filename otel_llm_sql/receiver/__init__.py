"""The OTLP receiver: requests of any OTLP client in, an answer out. Success means that the rows are committed."""
