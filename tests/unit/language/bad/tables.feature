Feature: Tables
  Scenario: Columns
    Given the following model configurations:
      | model_size | batch | sequence_length | batch |
      | small      | 1     | 128             | 2     |
    When sampling 10 tokens
    Then p99 latency should be below 1 ms

  Scenario: Cells
    Given the following model configurations:
      | model_size | batch_size | sequence_length |
      | small      | 0          | x               |
      | small      | 1.5        | 10 ms           |
      |            | 1          | 1               |
    When sampling 10 tokens
    Then p99 latency should be below 1 ms

  Scenario: None, empty, and where none belongs
    Given the following model configurations:
    And the following workload profiles:
      | profile_type | qps | request_size |
    When sampling 10 tokens
      | a |
    Then p99 latency should be below 1 ms
      """
      text
      """

  Scenario: Choices
    When a latency spike occurs
    Then the monitoring system should:
      | action             | threshold |
      | Detect the spke    | 5ms       |
      | Identify the container | 5%    |

  Scenario: A table without a cell
    Given a model of size "small"
      |
    When sampling 10 tokens
    Then p99 latency should be below 1 ms
