Feature: Values
  Scenario: Quantities
    Given a batch size of 0
    When sampling many tokens
    Then p99 latency should be below 10 parsecs
    And p99 latency should be below 10
    And p99 latency should be below 8 GB
    And p99 latency should be below nan
    And p99 latency should be below 1e999 s
    And p99 latency should be below -1 ms
    And p99 latency should be below 0 ms
    And p99 latency should be below 1,000 ms
    And p99 latency should be below ms
    And throughput should exceed 80% of normal

  Scenario: Shares
    Given an active inference pipeline
    When processing multiple batches concurrently
    Then cache hit rate should exceed 100%
    And memory fragmentation should be below 110%
    And there should be no memory leaks over 8 GB

  Scenario: Other values
    Given a pretrained transformer model
    When converting the model to FP7 precision
    Then model size should decrease by at least 140%

  Scenario: Reference
    Given a distributed system with 3 nodes
    When 1 node fails
    Then throughput should remain above 80%

  Scenario: Load
    Given a cluster of serving nodes
    When traffic increases by 0x
    Then no node should exceed 7 ms CPU utilization
