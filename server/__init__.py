"""The composition root: settings, doors, registry of calls, journal, wire protocol, command line."""
