"""What a job is to do, as a checked value that is stored with the job."""
