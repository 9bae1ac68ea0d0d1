"""How benchmarks are written, run and reported; the benchmarks themselves are in `experiments/benchmarks` of a checkout."""
