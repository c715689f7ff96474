"""Reduced models in other projects' evaluations; each module needs its project and is imported only when asked for."""
