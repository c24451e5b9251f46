Feature: Steps whose keyword says nothing
  Scenario: The phrase decides
    * a containerized ML serving environment
    * processing inference requests at peak load
    * kernel-level network latency should be under 250 µs
    * network throughput should be more than 1.5 GB per second
    * packet loss should be no more than 1e-2%
