"""What people are shown of the time of jobs, against the clock on the wall."""
