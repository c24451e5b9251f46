Feature: Meaning
  Scenario: Claims nothing
    Given a model of size "small"
    When sampling 10 tokens

  Scenario: Empty

  Scenario: A size that no table defines
    Given a model of size "small"
    When sampling 10 tokens
    Then p99 latency should be below 1 ms

  Scenario: A size that the table lacks
    Given the following model configurations:
      | model_size | batch_size | sequence_length |
      | small      | 1          | 128             |
    And a model of size "smal"
    And a batch size of 1
    And a batch size of 2
    When sampling 10 tokens
    Then p99 latency should be below 1 ms

  Scenario: A profile that no table defines
    Given a "light" workload profile
    When traffic increases by 2x
    Then load difference should be less than 10%

  Scenario: A profile that the table lacks
    Given the following workload profiles:
      | profile_type | qps | request_size |
      | light        | 10  | small        |
    And a "heavy" workload profile
    When traffic increases by 2x
    Then load difference should be less than 10%

  Scenario: More failures than nodes
    Given a distributed system with 3 nodes
    When 4 nodes fail simultaneously
    Then no requests should be dropped during failover

  Scenario: No nodes
    When 1 node fails
    Then no requests should be dropped during failover

  Scenario: No failure
    Given a distributed system with 3 nodes
    Then no requests should be dropped during failover

  Scenario: No sampling
    Given the following model configurations:
      | model_size | batch_size | sequence_length |
      | small      | 1          | 128             |
    Then p99 latency should be below 1 ms

  Scenario: No profile
    When traffic increases by 2x
    Then load difference should be less than 10%

  Scenario: No increase
    Given the following workload profiles:
      | profile_type | qps | request_size |
      | light        | 100 | small        |
    And a "light" workload profile
    When traffic increases by 0.5x
    Then load difference should be less than 10%
