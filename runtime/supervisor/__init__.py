"""What `singac run` is: starts the processes of a job, watches them, tells how it goes."""
