"""Progress, metrics, plots and reports of jobs."""
