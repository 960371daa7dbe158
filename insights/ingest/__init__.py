"""Fetch a task's pages into staging: continue where it was, wait for the source, and stay below its quota."""
