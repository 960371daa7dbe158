"""The whole platform on one machine: real servers as child processes, one small module per server."""
