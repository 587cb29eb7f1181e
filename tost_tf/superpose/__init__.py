"""Sup-tickets: cheap tickets, superposed into one."""
