"""The singac compiler: `.singa` text -> one plan and native program for each process."""
