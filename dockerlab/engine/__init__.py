"""Where containers run: the only place that looks for, starts or stops an engine."""
