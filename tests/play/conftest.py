from corridor import broken_corridor, corridor  # noqa: F401 (fixtures)
