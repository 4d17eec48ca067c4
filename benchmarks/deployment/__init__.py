"""What the deployment costs and how exact it is: the benchmark of stage 7."""
