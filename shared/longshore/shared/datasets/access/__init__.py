"""Which files and URLs the data and the output of a job may name, and opening them within these limits."""
