"""Each op of a program against a float64 twin, at every CPU level and for several threads."""
