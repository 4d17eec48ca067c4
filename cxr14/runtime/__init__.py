"""Device, number format, threads and distributed processes of a run."""
