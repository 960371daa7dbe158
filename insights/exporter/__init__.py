"""The state of the flow as Prometheus metrics, read from the stores."""
