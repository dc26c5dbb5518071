"""The singac runtime: runs compiled plans over MPI."""
